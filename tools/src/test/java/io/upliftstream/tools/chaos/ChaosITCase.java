package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.tools.TinyBundle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A whole run, on the smallest cluster; the faults themselves are tested beside it. */
class ChaosITCase {
    @Test
    @Timeout(value = 8, unit = TimeUnit.MINUTES)
    void aRunOfTwoFaultsIsJudgedAndReported(@TempDir Path output) throws Exception {
        List<String> said = new ArrayList<>();
        boolean holds = Chaos.run(
                new ChaosOptions(
                        Path.of(".."),
                        Mode.LOSSLESS,
                        new ClusterShape(1, 1, 1),
                        EnumSet.of(FaultKind.KILL_TASKMANAGER, FaultKind.READER_RESTART),
                        2,
                        5,
                        0,
                        2,
                        10,
                        1,
                        output,
                        List.of(
                                ServingOptions.MODEL_BUNDLE.key() + "=" + TinyBundle.PATH,
                                ServingOptions.CHECKPOINT_INTERVAL.key() + "=1 s")),
                said::add,
                end -> {});
        assertThat(holds).as(String.join("\n", said)).isTrue();
        JsonNode report =
                new ObjectMapper().readTree(output.resolve("chaos.json").toFile());
        assertThat(report.get("faults").findValuesAsText("kind"))
                .containsExactlyInAnyOrder("kill-taskmanager", "reader-restart");
        JsonNode balance = report.get("balance");
        assertThat(balance.get("results").asLong())
                .isEqualTo(balance.get("published").asLong())
                .isPositive();
        assertThat(Files.readString(output.resolve("chaos.md"))).contains("| kill-taskmanager | 1 |");
        assertThat(Files.readAllLines(output.resolve("chaos-processes.csv")))
                .as("what the processes hold")
                .anyMatch(line -> line.contains(",broker-1,"))
                .anyMatch(line -> line.contains(",taskmanager-1,"));
        assertThat(output.resolve("chaos-processes.png")).isNotEmptyFile();
        assertThat(output.resolve("chaos.png")).isNotEmptyFile();
    }
}
