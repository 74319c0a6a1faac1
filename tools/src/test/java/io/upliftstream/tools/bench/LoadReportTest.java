package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.traffic.Account;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LoadReportTest {
    @Test
    void writesARowForEveryRunAndAPlot(@TempDir Path directory) throws Exception {
        LoadReport report = new LoadReport(
                2,
                "tiny 1.0.0",
                "cpu-fp32",
                4,
                new LoadReport.Latency(200.0, 250.0, 300.0, 310.0),
                1000,
                List.of(
                        run("live", 0.5, 240, 0, 1900.0),
                        run("live", 10, 4800, 4500, 1900.0),
                        run("lossless", 0.5, 240, 0, null)));
        report.write(directory);
        assertThat(Files.readAllLines(directory.resolve("load.csv")))
                .hasSize(4)
                .element(2)
                .asString()
                .startsWith("live,10.000,40.000,4800,300,0,4500,0,0,0,true,")
                .contains(",0.938,");
        assertThat(Files.readAllLines(directory.resolve("load-samples.csv"))).hasSize(4);
        assertThat(directory.resolve("load.json")).content().contains("\"boundMillis\" : 1900.0");
        assertThat(ImageIO.read(directory.resolve("load.png").toFile()).getWidth())
                .isGreaterThan(1000);
    }

    @Test
    void anAccountHoldsOnlyWithoutDropsInLosslessMode() {
        assertThat(run("live", 2, 100, 40, null).accountHolds()).isTrue();
        assertThat(run("lossless", 2, 100, 40, null).accountHolds()).isFalse();
    }

    private static LoadReport.Run run(String mode, double load, long published, long drops, @Nullable Double bound) {
        Account.Balance balance = new Account.Balance(published, published - drops, 0, drops, 0, 0, 0, 0, 0);
        return new LoadReport.Run(
                mode,
                load,
                4 * load,
                balance,
                balance.exactlyOnce(),
                4,
                new LoadReport.Latency(200 * load, 400 * load, 500 * load, 600 * load),
                bound,
                Map.of("camera-0", 0.5),
                Map.of("MAX_AGE", drops),
                published,
                0.1,
                0.0,
                List.of(new ProcessSample(0, 500.0, 100, 40, 1)));
    }
}
