package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.traffic.Fairness;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The whole of {@code bench scale} on a small shape: real broker and Flink, in processes of their own. */
class ScaleBenchITCase {
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void everyLoadIsAccountedForAndTheReportSaysWhatACameraTakes(@TempDir Path output) throws Exception {
        Path tiny = Path.of("..", "model", "src", "test", "resources", "tiny")
                .toAbsolutePath()
                .normalize();
        ScaleOptions options = new ScaleOptions(
                Path.of(".."),
                true,
                List.of(2, 7),
                List.of(3),
                List.of(1, 2),
                2,
                1,
                20,
                2,
                35,
                64,
                48,
                output,
                List.of("uplift.model.bundle=" + tiny, "uplift.checkpoint.interval=500 ms"));
        List<String> said = new ArrayList<>();
        assertThat(ScaleBench.run(options, said::add, ends -> {}))
                .as(String.join("\n", said))
                .isTrue();

        JsonNode report = new JsonMapper().readTree(output.resolve("scale.json").toFile());
        assertThat(report.findValuesAsText("load")).containsExactly("SHARED", "SHARED", "EACH", "OVERLOAD", "SHARED");
        JsonNode rows = report.path("rows");
        assertThat(rows.findValuesAsText("cameras")).containsExactly("2", "7", "7", "7", "7");
        assertThat(rows.findValuesAsText("taskManagers")).containsExactly("1", "1", "1", "1", "2");
        assertThat(rows.findValuesAsText("offered")).containsExactly("20.0", "20.0", "14.0", "400.0", "20.0");
        for (JsonNode row : rows) {
            JsonNode flow = row.path("flow");
            boolean overload = row.path("load").asText().equals("OVERLOAD");
            assertThat(row.path("accountHolds").asBoolean()).isTrue();
            assertThat(flow.path("cpuMillis").asDouble()).isPositive();
            assertThat(flow.path("p99").asDouble())
                    .isGreaterThanOrEqualTo(flow.path("p50").asDouble())
                    .isPositive();
            assertThat(flow.path("dropShare").asDouble())
                    .matches(share -> (share > 0) == overload, "only in live mode");
            assertThat(flow.path("fairness").asDouble()).isBetween(overload ? 0.5 : 1, 1.0);
            JsonNode footprint = row.path("footprint");
            assertThat(footprint.path("heapMegabytes").asDouble()).isGreaterThan(5);
            assertThat(footprint.path("metrics").asInt()).isGreaterThan(100);
            assertThat(footprint.path("cameraMetrics").asInt())
                    .as("each subtask counts the cameras of its partitions")
                    .isGreaterThanOrEqualTo(row.path("cameras").asInt());
        }
        assertThat(rows.get(1).path("costRatio").asDouble()).isPositive();
        assertThat(rows.get(1).at("/footprint/checkpointBytes").asLong()).isPositive();
        assertThat(rows.get(1).at("/footprint/cameraMetrics").asInt()
                        - rows.get(0).at("/footprint/cameraMetrics").asInt())
                .as("five cameras more")
                .isEqualTo(5);
        assertThat(report.path("takeovers")).hasSize(3);
        for (JsonNode takeover : report.path("takeovers")) {
            assertThat(takeover.path("accountHolds").asBoolean()).isTrue();
            assertThat(takeover.path("backlog").asLong()).isEqualTo(35);
            assertThat(takeover.path("firstMillis").asDouble())
                    .isBetween(1.0, takeover.path("allMillis").asDouble());
        }
        assertThat(Files.readString(output.resolve("scale.md")))
                .contains("| shared | 7 | 3 | 2 |", "| overload | 7 | 3 | 1 |", "| 7 cameras | 3 | 2 | 35 |");
        assertThat(output.resolve("scale.png")).isNotEmptyFile();
    }

    @Test
    void fairnessIsJainsIndex() {
        assertThat(Fairness.jain(Collections.nCopies(1000, 0.3))).isEqualTo(1, within(1e-9));
        assertThat(Fairness.jain(List.of(1.0, 0.0, 0.0, 0.0))).isEqualTo(0.25);
        assertThat(Fairness.jain(List.of(0.0, 0.0))).isEqualTo(1);
    }
}
