package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every {@link Hostility}, one after the other, for two jobs with a heap of 256 MB each, a lossless and a live one: no record
 * ends them, every record has an outcome, and four cameras that mean well are served meanwhile.
 *
 * <p>{@code -Dflood.seconds=300} lets each kind last for five minutes instead of three seconds, and prints what came of it;
 * {@code -Dflood.kinds=SCANS,ZSTD} is for some of them.
 */
class FloodITCase {
    private static final Duration EACH = Duration.ofSeconds(Integer.getInteger("flood.seconds", 3));

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    @Timeout(value = 2, unit = TimeUnit.HOURS)
    void everyFrameIsAccountedForInAHeapOf256Megabytes() throws Exception {
        List<Hostility> kinds = System.getProperty("flood.kinds") == null
                ? List.of(Hostility.values())
                : List.of(System.getProperty("flood.kinds").split(",")).stream()
                        .map(Hostility::valueOf)
                        .toList();
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Flood lossless = Flood.start(kafka, "lossless", directory);
                Flood live = Flood.start(kafka, "live", directory)) {
            for (Flood flood : List.of(lossless, live)) {
                set(kafka, flood.topics().name("camera-frames"), "compression.type", "uncompressed");
                for (String topic : List.of("camera-frames", "failures")) {
                    set(kafka, flood.topics().name(topic), "retention.bytes", "500000000");
                    set(kafka, flood.topics().name(topic), "segment.bytes", "50000000");
                }
            }
            List<String> table = new ArrayList<>();
            for (Hostility kind : kinds) {
                lossless.begin(kind);
                live.begin(kind);
                lossless.end(EACH);
                live.end(Duration.ofMillis(1));
                for (Flood flood : List.of(lossless, live)) {
                    Flood.Report report = flood.report();
                    table.add(report.toString());
                    System.out.println(report);
                    assertThat(flood.process().isAlive())
                            .as("%s: %s", kind, flood.output())
                            .isTrue();
                    assertThat(report.open())
                            .as("without an outcome: %s", report)
                            .isZero();
                    assertThat(report.unexpected())
                            .as("more than one: %s", report)
                            .isZero();
                    if (EACH.toSeconds() >= 60) {
                        assertThat(report.served()).as("in time: %s", report).isGreaterThan(report.sent() * 9 / 10);
                    }
                    if (flood.lossless()) {
                        assertThat(report.outcomes().keySet().stream().filter(each -> each.startsWith("honest")))
                                .as("every honest frame has a result: %s", report)
                                .isSubsetOf("honest result");
                    }
                }
            }
            if (EACH.toSeconds() >= 60) {
                System.out.println(String.join("\n", table));
            }
        }
    }

    private static void set(EmbeddedKafka kafka, String topic, String name, String value) throws Exception {
        try (Admin admin = Admin.create(kafka.clientSettings())) {
            admin.incrementalAlterConfigs(Map.of(
                            new ConfigResource(ConfigResource.Type.TOPIC, topic),
                            List.of(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET))))
                    .all()
                    .get();
        }
    }
}
