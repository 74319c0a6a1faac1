package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.tools.TinyBundle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A short run of {@code uplift bench load}: nothing is asserted about speed. */
class LoadBenchITCase {
    private static final List<String> SETTINGS = List.of(
            "uplift.model.bundle=" + TinyBundle.PATH, "uplift.max-age=100 ms", "uplift.checkpoint.interval=500 ms");

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void everyFrameIsAccountedForUnderloadAndOverloadAndTheReportSaysSo(@TempDir Path output) throws Exception {
        LoadOptions options = new LoadOptions(
                null,
                List.of(Mode.LIVE, Mode.LOSSLESS),
                List.of(0.5, 8.0),
                2,
                5,
                1,
                0.5,
                3,
                8,
                false,
                160,
                96,
                output,
                SETTINGS);
        List<String> said = new ArrayList<>();
        assertThat(LoadBench.run(options, said::add))
                .as(String.join("\n", said))
                .isTrue();

        JsonNode report = new JsonMapper().readTree(output.resolve("load.json").toFile());
        assertThat(report.path("capacity").asDouble()).isPositive();
        assertThat(report.path("runs")).hasSize(4);
        for (JsonNode run : report.path("runs")) {
            JsonNode balance = run.path("balance");
            assertThat(balance.path("published").asLong())
                    .isPositive()
                    .isEqualTo(balance.path("results").asLong()
                            + balance.path("drops").asLong()
                            + balance.path("failures").asLong());
            assertThat(run.path("exactlyOnce").asBoolean()).isTrue();
            assertThat(run.path("samples")).isNotEmpty();
        }
        JsonNode served = report.at("/runs/1/served");
        assertThat(served.path("camera-1").asDouble())
                .as("cameras take turns, however much one of them sends: %s", served)
                .isGreaterThan(2 * served.path("camera-0").asDouble());
        assertThat(report.at("/runs/1/balance/drops").asLong())
                .as("live, eight times the capacity")
                .isPositive();
        assertThat(report.at("/runs/3/balance/drops").asLong())
                .as("lossless, eight times the capacity")
                .isZero();
        assertThat(Files.readAllLines(output.resolve("load.csv"))).hasSize(5);
        assertThat(output.resolve("load.png")).isNotEmptyFile();
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void packetsAreAccountedForUnderOverload(@TempDir Path output) throws Exception {
        LoadOptions options = new LoadOptions(
                null, List.of(Mode.LIVE), List.of(5.0), 2, 5, 1, 0.5, 3, 1, true, 160, 96, output, SETTINGS);
        List<String> said = new ArrayList<>();
        assertThat(LoadBench.run(options, said::add))
                .as(String.join("\n", said))
                .isTrue();
        JsonNode balance =
                new JsonMapper().readTree(output.resolve("load.json").toFile()).at("/runs/0/balance");
        assertThat(balance.path("drops").asLong()).as("%s", balance).isPositive();
        assertThat(balance.path("results").asLong()).as("%s", balance).isPositive();
    }
}
