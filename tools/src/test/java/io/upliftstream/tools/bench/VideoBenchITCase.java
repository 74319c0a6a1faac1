package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.cli.Commands;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A short run of {@code uplift bench video}: nothing is asserted about speed. */
class VideoBenchITCase {
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aCameraIsMeasuredAsImagesAndAsPackets(@TempDir Path directory) throws Exception {
        Path json = directory.resolve("video.json");
        Commands bench = Commands.run(List.of(
                "bench",
                "video",
                "--bundle=" + TinyBundle.PATH,
                "--device=cpu",
                "--precision=fp32",
                "--size=160x96",
                "--rounds=2",
                "--seconds=1",
                "--json=" + json));
        assertThat(bench.exitCode()).as(bench.output()).isZero();
        JsonNode report = new JsonMapper().readTree(Files.readAllBytes(json));
        assertThat(report.at("/images/format").asText()).isEqualTo("jpeg");
        assertThat(report.at("/packets/format").asText()).isEqualTo("h264");
        for (JsonNode way : List.of(report.path("images"), report.path("packets"))) {
            assertThat(way.path("cpuMillis").asDouble()).isPositive();
            assertThat(way.path("minCores").asDouble())
                    .isPositive()
                    .isLessThanOrEqualTo(way.path("maxCores").asDouble());
        }
    }
}
