package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** {@code uplift run} against a broker, stopped as Ctrl-C does. */
class RunITCase {
    private final StringWriter errors = new StringWriter();
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    private final PrintStream console = System.out;

    @BeforeEach
    void watch() {
        System.setProperty("uplift.columns", "200");
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void stopWatching() {
        System.clearProperty("uplift.columns");
        System.setOut(console);
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void stoppingCommitsWhatWasReadAndTheNextRunGoesOn() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                SyntheticCamera street = new SyntheticCamera("street", 20_500, 160, 96, 10, 0.9)) {
            Topics topics = Topics.create(kafka, "run", 1, 1 << 20);
            List<String> settings = topics.assignments("uplift.input.stop=never", "uplift.checkpoint.interval=4 min");
            AtomicInteger exitCode = new AtomicInteger(-1);
            Thread run = new Thread(() -> exitCode.set(uplift(settings)), "run");
            run.start();
            int published = 0;
            do {
                publish(topics, street, published, published + 3);
                published += 3;
                while (sequences(topics, "read_uncommitted").size() < published && run.isAlive()) {
                    Thread.onSpinWait();
                }
                // Flink draws the moment of its first checkpoint; the second comes 7 minutes later, and not in time.
            } while (sequences(topics, "read_committed").size() == published && run.isAlive());
            while (!printed.toString(StandardCharsets.UTF_8).contains("in " + published + " ") && run.isAlive()) {
                Thread.onSpinWait();
            }
            run.interrupt();
            run.join();
            assertThat(exitCode).as(errors.toString()).hasValue(0);
            assertThat(printed.toString(StandardCharsets.UTF_8))
                    .contains("The job runs from topic")
                    .contains("Stopped. The next run goes on from the savepoint of ")
                    .contains("Frames: in %d · results %d · failures 0 · dropped 0".formatted(published, published));
            List<Long> before = LongStream.range(0, published).boxed().toList();
            assertThat(sequences(topics, "read_committed")).isEqualTo(before);

            publish(topics, street, published, published + 2);
            assertThat(uplift(topics.assignments())).as(errors.toString()).isZero();
            assertThat(sequences(topics, "read_committed"))
                    .isEqualTo(LongStream.range(0, published + 2).boxed().toList());
        }
    }

    @Test
    @Timeout(value = 5, unit = TimeUnit.MINUTES)
    void partitionsThatAreAddedWhileItRunsAreRead() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                SyntheticCamera street = new SyntheticCamera("street", 20_501, 160, 96, 10, 0.9);
                Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
            Topics topics = Topics.create(kafka, "grows", 1, 1 << 20);
            publish(topics, street, 0, 1);
            List<String> settings =
                    topics.assignments("uplift.input.stop=never", "uplift.input.partition-discovery=100 ms");
            Thread run = new Thread(() -> uplift(settings), "run");
            run.start();
            while (sequences(topics, "read_uncommitted").isEmpty() && run.isAlive()) {
                Thread.onSpinWait();
            }
            admin.createPartitions(Map.of(topics.name("camera-frames"), NewPartitions.increaseTo(2)))
                    .all()
                    .get();
            topics.send(
                    1,
                    street.id(),
                    SingleObject.encode(
                            Topics.frame(street.id(), 1, street.next().image()).build()));
            while (sequences(topics, "read_uncommitted").size() < 2 && run.isAlive()) {
                Thread.onSpinWait();
            }
            run.interrupt();
            run.join();
            assertThat(sequences(topics, "read_uncommitted"))
                    .as(errors.toString())
                    .contains(0L, 1L);
        }
    }

    private int uplift(List<String> settings) {
        String[] arguments = Stream.concat(
                        Stream.of("run"), settings.stream().flatMap(setting -> Stream.of("--set", setting)))
                .toArray(String[]::new);
        return Uplift.run(arguments, new PrintWriter(errors, true));
    }

    private static void publish(Topics topics, SyntheticCamera street, int from, int to) throws Exception {
        for (int sequence = from; sequence < to; sequence++) {
            byte[] image = street.next().image();
            topics.send(
                    0,
                    street.id(),
                    SingleObject.encode(
                            Topics.frame(street.id(), sequence, image).build()));
        }
    }

    private static List<Long> sequences(Topics topics, String isolation) {
        return topics.read("segmentation", isolation, SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getSequence())
                .toList();
    }
}
