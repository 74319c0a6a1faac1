package io.upliftstream.tools.sql;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.Test;

class RowPrinterTest {
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    private final PrintStream out = new PrintStream(printed, true, StandardCharsets.UTF_8);

    @Test
    void aTableSaysThatItCutsAndJsonDoesNotCut() {
        RowPrinter table = new RowPrinter(out, false, List.of("failure"));
        table.print(Row.of("x".repeat(40)));
        assertThat(table.note()).isEmpty();
        table.print(Row.of("y".repeat(41)));
        assertThat(table.note()).contains("beyond 40 characters, --json has it");
        assertThat(printed.toString(StandardCharsets.UTF_8)).contains("x".repeat(40), "y".repeat(39) + "…");

        RowPrinter json = new RowPrinter(out, true, List.of("failure"));
        json.print(Row.of("z".repeat(500)));
        assertThat(json.note()).isEmpty();
        assertThat(printed.toString(StandardCharsets.UTF_8)).contains("z".repeat(500));
    }
}
