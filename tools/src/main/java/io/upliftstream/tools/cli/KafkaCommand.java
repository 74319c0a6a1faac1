package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.RecordKind;
import java.io.IOException;
import java.net.BindException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift kafka}. */
@Command(
        name = "kafka",
        description = "A Kafka broker for trying things out, on this machine alone, with the job's topics under their"
                + " default names. Ctrl-C ends it, and what is on it is gone then.",
        footer = {
            "",
            "Examples, each in a terminal of its own:",
            "  uplift kafka",
            "  uplift run",
            "  uplift publish --input street.mp4",
            "  uplift view"
        })
final class KafkaCommand implements Callable<Integer> {
    private static final List<String> TOPICS = Arrays.stream(RecordKind.values())
            .map(kind -> kind.topic().defaultValue())
            .toList();

    /** What limits each partition, since features fill a disk quickly. */
    private static final Map<String, String> RETENTION =
            Map.of("retention.bytes", Long.toString(1L << 30), "segment.bytes", Long.toString(128L << 20));

    @Option(
            names = "--port",
            paramLabel = "N",
            defaultValue = "9092",
            description = "0 for any free one (default: ${DEFAULT-VALUE}, where the other commands look for it).")
    private int port = 9092;

    @Option(
            names = "--partitions",
            paramLabel = "N",
            defaultValue = "2",
            description = "Of every topic: the most subtasks that a job can have. Default: ${DEFAULT-VALUE}.")
    private int partitions = 2;

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws IOException {
        checks.require(port >= 0 && port <= 65535, "--port", port, "0 to 65535");
        checks.require(partitions >= 1, "--partitions", partitions, ">= 1");
        try (EmbeddedKafka kafka = start()) {
            for (String topic : TOPICS) {
                kafka.createTopic(topic, partitions, RETENTION);
            }
            System.out.printf(
                    """
                    Kafka is at %1$s, for this machine alone (whoever has an account on it), until Ctrl-C; what is on it
                    is gone then. Listening: %3$s
                    Topics, of which each partition keeps its last GB or so: %2$s
                    For example, each in a terminal of its own:
                      ./uplift run --bootstrap-servers %1$s
                      ./uplift publish --input synthetic --bootstrap-servers %1$s
                      ./uplift view --bootstrap-servers %1$s
                      ./uplift consume segmentation --follow --bootstrap-servers %1$s
                    """,
                    kafka.bootstrapServers(), String.join(", ", TOPICS), kafka.listeners());
            Uplift.throwIfStopped();
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            System.out.println("Stopped.");
        }
        return 0;
    }

    private EmbeddedKafka start() {
        try {
            return EmbeddedKafka.start(port);
        } catch (BindException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "127.0.0.1:%d: %s (expected: a port that is free, --port N)".formatted(port, e.getMessage()),
                    e);
        } catch (IOException e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "Kafka broker: %s (expected: one that starts, with room for what it keeps in %s)"
                            .formatted(e.getMessage(), System.getProperty("java.io.tmpdir")),
                    e);
        }
    }
}
