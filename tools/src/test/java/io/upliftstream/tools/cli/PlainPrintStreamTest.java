package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class PlainPrintStreamTest {
    @Test
    void aTerminalIsToldNothingButText() {
        ByteArrayOutputStream shown = new ByteArrayOutputStream();
        PrintStream out = new PlainPrintStream(new PrintStream(shown, true, StandardCharsets.UTF_8));
        out.println("street\u001b[2J \u009b1m \u202egnp \u0007\u007f … ü");
        out.printf("%s\t%d%n", "a\u001b]0;b", 1);
        out.print((Object) "\r\u0000");
        assertThat(shown.toString(StandardCharsets.UTF_8))
                .isEqualTo("street\\u001b[2J \\u009b1m \\u202egnp \\u0007\\u007f … ü\na\\u001b]0;b\t1\n\r\\u0000");
    }
}
