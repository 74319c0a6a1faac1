package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code uplift run}, stopped or killed at any moment while frames come, and started again with the same command line, of
 * which only the parallelism changes, two times or as many as the system property {@code uplift.restarts} says. {@code uplift.seed} decides the moments. A table of
 * the times is left in {@code target/restarts.md}.
 */
class RestartsITCase {
    private static final List<String> CAMERAS = List.of("north", "south");
    private static final long FRAME_MILLIS = 40;
    private static final int MOST_MILLIS = 6000;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final CountDownLatch ended = new CountDownLatch(1);
    private final AtomicLong published = new AtomicLong();

    /** When a reader under {@code read_committed} saw a result. */
    private record Seen(long nanos, RecordHeader header) {}

    private final ConcurrentLinkedQueue<Seen> seen = new ConcurrentLinkedQueue<>();

    @Test
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void everyFrameOnceAndInOrderWheneverItIsStoppedOrKilled() throws Exception {
        int rounds = Integer.getInteger("uplift.restarts", 2);
        Random random = new Random(Long.getLong("uplift.seed", 20_260));
        List<String> table = new ArrayList<>();
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "restarts", CAMERAS.size(), 1 << 20);
            Thread publisher = start("publisher", () -> publish(kafka, topics));
            Thread subscriber = start("subscriber", () -> subscribe(kafka, topics));
            for (int round = 0; round < rounds; round++) {
                boolean kill = round % 2 == 1;
                // Some moments are before the job runs at all.
                boolean early = rounds > 2 && random.nextInt(5) == 0;
                table.add(round(topics, 1 + random.nextInt(CAMERAS.size()), kill, early, random.nextInt(MOST_MILLIS)));
            }
            ended.countDown();
            publisher.join();
            Path output = directory.resolve("last.log");
            Process last = run(topics, output, "uplift.input.stop=latest");
            assertThat(last.waitFor(5, TimeUnit.MINUTES)).isTrue();
            assertThat(last.exitValue()).as(Files.readString(output)).isZero();
            subscriber.join(TimeUnit.MINUTES.toMillis(1));
        }
        Map<String, List<Long>> sequences = new HashMap<>();
        seen.forEach(result -> sequences
                .computeIfAbsent(result.header().getCameraId(), unused -> new ArrayList<>())
                .add(result.header().getSequence()));
        assertThat(sequences).containsOnlyKeys(CAMERAS);
        List<Long> all = LongStream.range(0, published.get()).boxed().toList();
        CAMERAS.forEach(camera -> assertThat(sequences.get(camera)).isEqualTo(all));
        Files.writeString(
                Path.of("target", "restarts.md"),
                "%d frames of each camera, each once and in order%n%n".formatted(published.get())
                        + "| subtasks | ended by | after | s to end | s from start to first result |\n"
                        + "|---|---|---|---|---|\n"
                        + String.join("", table));
    }

    /** One run, and a row of the table. */
    private String round(Topics topics, int parallelism, boolean kill, boolean early, int millis) throws Exception {
        Path output = Files.createTempFile(directory, "uplift-", ".log");
        int before = seen.size();
        long start = System.nanoTime();
        Process run = run(topics, output, "uplift.input.stop=never", "uplift.parallelism=" + parallelism);
        while (!early && seen.size() == before) {
            assertThat(run.waitFor(10, TimeUnit.MILLISECONDS))
                    .as("ended before the first result: " + Files.readString(output))
                    .isFalse();
        }
        String first = early
                ? ""
                : seconds(seen.stream().skip(before).findFirst().orElseThrow().nanos() - start);
        assertThat(run.waitFor(millis, TimeUnit.MILLISECONDS))
                .as("ended by itself: " + Files.readString(output))
                .isFalse();
        long signal = System.nanoTime();
        if (kill) {
            run.destroyForcibly();
        } else {
            run.destroy();
        }
        assertThat(run.waitFor(70, TimeUnit.SECONDS)).isTrue();
        return "| %d | %s | %s + %s s | %s | %s |%n"
                .formatted(
                        parallelism,
                        kill ? "kill -9" : "SIGTERM",
                        early ? "start" : "first result",
                        seconds(TimeUnit.MILLISECONDS.toNanos(millis)),
                        seconds(System.nanoTime() - signal),
                        first);
    }

    private Process run(Topics topics, Path output, String... more) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("run"));
        List<String> assignments = topics.assignments(
                "uplift.model.bundle=" + TinyBundle.PATH,
                "uplift.checkpoint.interval=1 s",
                "uplift.kafka.timeout=1 min");
        assignments.addAll(List.of(more));
        assignments.forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        return Commands.start(directory, output, List.of(), arguments);
    }

    private void publish(EmbeddedKafka kafka, Topics topics) throws Exception {
        try (KafkaProducer<String, byte[]> producer =
                new KafkaProducer<>(kafka.clientSettings(), new StringSerializer(), new ByteArraySerializer())) {
            byte[] image = TinyBundle.image(1);
            do {
                for (int camera = 0; camera < CAMERAS.size(); camera++) {
                    String name = CAMERAS.get(camera);
                    byte[] frame = SingleObject.encode(
                            Topics.frame(name, published.get(), image).build());
                    producer.send(new ProducerRecord<>(topics.name("camera-frames"), camera, name, frame))
                            .get();
                }
                published.incrementAndGet();
            } while (!ended.await(FRAME_MILLIS, TimeUnit.MILLISECONDS));
        }
    }

    /** Reads until every frame that was published has been seen, and what is there then. */
    private void subscribe(EmbeddedKafka kafka, Topics topics) {
        Map<String, Object> settings = new HashMap<>(kafka.clientSettings());
        settings.put("isolation.level", "read_committed");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = List.of(
                    new TopicPartition(topics.name("segmentation"), 0),
                    new TopicPartition(topics.name("segmentation"), 1));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (ended.getCount() > 0 || seen.size() < CAMERAS.size() * published.get()) {
                consumer.poll(Duration.ofMillis(50))
                        .forEach(record -> seen.add(new Seen(
                                System.nanoTime(),
                                SingleObject.decode(record.value(), SegmentationRecord.class)
                                        .getHeader())));
            }
        }
    }

    /** A part of the test whose end is waited for, and which ends with the process. */
    private interface Part {
        void run() throws Exception;
    }

    private static Thread start(String name, Part part) {
        Thread thread = new Thread(
                () -> {
                    try {
                        part.run();
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                },
                name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, "%.1f", nanos / 1e9);
    }
}
