package io.upliftstream.tools.cli;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A job in a process of its own with a small heap, four cameras that mean well at an even rate, and one that does not, as fast
 * as the job takes its records.
 */
final class Flood implements AutoCloseable {
    private static final int PARTITIONS = 2;
    private static final int CAMERAS = 4;
    private static final long BETWEEN_FRAMES_NANOS = TimeUnit.SECONDS.toNanos(1) / (CAMERAS * 3);

    /** A frame that comes later than this was not served. */
    private static final Duration IN_TIME = Duration.ofSeconds(10);

    private static final Duration PATIENCE = Duration.ofMinutes(3);

    /** Hostile records that are on their way at least. */
    private static final int FEW = 16;

    private static final int MANY = 4000;

    /** Unpacked bytes that the disk has room for. */
    private static final long BYTES_A_SECOND = 20 << 20;

    private final Topics topics;
    private final boolean lossless;
    private final Path output;
    private final Process process;
    private final KafkaProducer<byte[], byte[]> producer;
    private final KafkaProducer<byte[], byte[]> compressing;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread reader = new Thread(this::read, "flood-reader");

    /** Honest frames without an outcome, and when they were sent. */
    private final Map<String, Long> open = new ConcurrentHashMap<>();

    private final List<Long> latencies = Collections.synchronizedList(new ArrayList<>());
    private final AtomicInteger late = new AtomicInteger();
    private final AtomicInteger unexpected = new AtomicInteger();
    private final AtomicLong hostileSent = new AtomicLong();
    private final AtomicLong hostileSettled = new AtomicLong();
    private final AtomicLong poisoned = new AtomicLong();
    private final Map<String, AtomicLong> outcomes = new ConcurrentHashMap<>();
    private long frames;
    private volatile boolean flooding;
    private Hostility kind = Hostility.IDS;
    private Thread honest = new Thread(() -> {});
    private Thread hostile = new Thread(() -> {});

    /**
     * What came of one kind.
     *
     * @param sent honest frames
     * @param served those with a result in time
     * @param worstMillis 99 of 100 results came within it
     * @param hostile records of the hostile camera, each with an outcome
     * @param residentMegabytes of the process at the end
     */
    record Report(
            String mode,
            Hostility kind,
            int sent,
            int served,
            long medianMillis,
            long worstMillis,
            long hostile,
            long open,
            int unexpected,
            Map<String, AtomicLong> outcomes,
            long residentMegabytes) {
        @Override
        public String toString() {
            return String.format(
                    Locale.ROOT,
                    "%-8s %-10s honest %d of %d (p50 %d ms, p99 %d ms), hostile %d %s, RSS %d MB",
                    mode,
                    kind,
                    served,
                    sent,
                    medianMillis,
                    worstMillis,
                    hostile,
                    outcomes,
                    residentMegabytes);
        }
    }

    private Flood(EmbeddedKafka kafka, String mode, Path directory) throws IOException {
        lossless = mode.equals("lossless");
        topics = Topics.create(kafka, "flood-" + mode, PARTITIONS, 1 << 20, 1 << 16);
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", kafka.bootstrapServers(), "max.request.size", 32 << 20, "max.block.ms", 600_000);
        producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        compressing = new KafkaProducer<>(
                Stream.concat(
                                settings.entrySet().stream(),
                                Map.<String, Object>of(
                                        "compression.type",
                                        "zstd",
                                        "batch.size",
                                        32 << 20,
                                        "linger.ms",
                                        200,
                                        "buffer.memory",
                                        128L << 20)
                                        .entrySet()
                                        .stream())
                        .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)),
                new ByteArraySerializer(),
                new ByteArraySerializer());
        consumer = new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers",
                        kafka.bootstrapServers(),
                        "isolation.level",
                        lossless ? "read_committed" : "read_uncommitted",
                        "auto.offset.reset",
                        "earliest"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        consumer.assign(Stream.of("segmentation", "failures", "dropped")
                .flatMap(topic ->
                        Stream.of(new TopicPartition(topics.name(topic), 0), new TopicPartition(topics.name(topic), 1)))
                .toList());
        reader.start();
        List<String> arguments = new ArrayList<>(List.of("run"));
        topics.assignments(
                        "uplift.model.bundle=" + TinyBundle.PATH,
                        "uplift.mode=" + mode,
                        "uplift.max-age=5 s",
                        "uplift.input.start=earliest",
                        "uplift.input.stop=never",
                        "uplift.checkpoint.interval=" + (lossless ? "500 ms" : "10 s"),
                        "restart-strategy.type=none")
                .forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        output = Files.createTempFile(directory, "uplift-", ".log");
        process = Commands.start(directory, output, List.of(), arguments, "-Xmx256m");
    }

    /** Starts the job; returns when it serves its honest cameras. */
    static Flood start(EmbeddedKafka kafka, String mode, Path directory) throws IOException {
        Flood flood = new Flood(kafka, mode, directory);
        do {
            flood.sendHonest();
        } while (!flood.settled(Duration.ofSeconds(1)) && flood.process.isAlive());
        flood.latencies.clear();
        flood.outcomes.clear();
        flood.late.set(0);
        return flood;
    }

    Topics topics() {
        return topics;
    }

    boolean lossless() {
        return lossless;
    }

    Process process() {
        return process;
    }

    String output() throws IOException {
        return Files.readString(output);
    }

    void begin(Hostility hostility) {
        kind = hostility;
        flooding = true;
        honest = new Thread(this::meanWell, "flood-honest");
        hostile = new Thread(this::meanHarm, "flood-hostile");
        honest.start();
        hostile.start();
    }

    /** Ends the flood after some time. */
    void end(Duration duration) throws InterruptedException {
        honest.join(duration.toMillis());
        flooding = false;
        honest.join();
        hostile.join();
    }

    /** Waits until every frame has had its outcome. */
    Report report() throws IOException {
        settled(PATIENCE);
        List<Long> sorted = latencies.stream().sorted().toList();
        Report report = new Report(
                lossless ? "lossless" : "live",
                kind,
                sorted.size() + late.get() + open.size(),
                sorted.size(),
                sorted.isEmpty() ? -1 : sorted.get(sorted.size() / 2),
                sorted.isEmpty() ? -1 : sorted.get(sorted.size() * 99 / 100),
                hostileSettled.get(),
                open.size() + hostileSent.get() - hostileSettled.get(),
                unexpected.get(),
                Map.copyOf(outcomes),
                resident());
        latencies.clear();
        outcomes.clear();
        late.set(0);
        hostileSent.addAndGet(-hostileSettled.get());
        hostileSettled.set(0);
        return report;
    }

    private void meanWell() {
        long next = System.nanoTime();
        while (flooding) {
            sendHonest();
            next += BETWEEN_FRAMES_NANOS;
            LockSupport.parkNanos(next - System.nanoTime());
        }
    }

    private void sendHonest() {
        String camera = "honest-" + frames % CAMERAS;
        long sequence = frames / CAMERAS;
        open.put(camera + "/" + sequence, System.nanoTime());
        var unused = producer.send(new ProducerRecord<>(
                topics.name("camera-frames"),
                (int) (frames % PARTITIONS),
                camera.getBytes(StandardCharsets.UTF_8),
                Hostility.honest(camera, sequence)));
        frames++;
    }

    /**
     * Has as many records on their way as the job takes in two seconds, or half a second of a live job, which takes them all and
     * tells of what it let go only later.
     */
    private void meanHarm() {
        long number = 0;
        int least = lossless ? FEW : MANY;
        long window = least;
        long start = System.nanoTime();
        long looked = start;
        long settledThen = hostileSettled.get();
        long bytes = 0;
        while (flooding) {
            long now = System.nanoTime();
            if (now - looked > TimeUnit.SECONDS.toNanos(2)) {
                window = Math.max(least, (hostileSettled.get() - settledThen) / (lossless ? 1 : 4));
                settledThen = hostileSettled.get();
                looked = now;
            }
            if (hostileSent.get() - hostileSettled.get() >= window
                    || bytes > BYTES_A_SECOND * ((now - start) / 1e9 + 1)) {
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
                continue;
            }
            ProducerRecord<byte[], byte[]> record = kind.frame(topics.name("camera-frames"), number);
            bytes += size(record);
            hostileSent.incrementAndGet();
            Future<?> unused = (kind == Hostility.ZSTD ? compressing : producer).send(record, (metadata, refusal) -> {
                if (refusal != null) {
                    hostileSent.decrementAndGet();
                    outcomes.computeIfAbsent("refused by Kafka", none -> new AtomicLong())
                            .incrementAndGet();
                }
            });
            if (kind == Hostility.OUTPUTS) {
                unused = producer.send(new ProducerRecord<>(topics.name("segmentation"), Hostility.poison(number)));
            }
            number++;
        }
    }

    private static long size(ProducerRecord<byte[], byte[]> record) {
        byte[] key = record.key();
        byte[] value = record.value();
        long headers = Arrays.stream(record.headers().toArray())
                .mapToLong(header -> header.value().length)
                .sum();
        return (key == null ? 0 : key.length) + (value == null ? 0 : value.length) + headers;
    }

    /** Whether every frame had its outcome in time. */
    private boolean settled(Duration patience) {
        long until = System.nanoTime() + patience.toNanos();
        while (!open.isEmpty() || hostileSettled.get() != hostileSent.get()) {
            if (System.nanoTime() > until || !process.isAlive()) {
                return false;
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(10));
        }
        return true;
    }

    private void read() {
        try (consumer) {
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    try {
                        read(record);
                    } catch (MalformedRecordException e) {
                        poisoned.incrementAndGet();
                    }
                }
            }
        } catch (WakeupException e) {
            // The end.
        }
    }

    private void read(ConsumerRecord<byte[], byte[]> record) {
        if (record.topic().endsWith("segmentation")) {
            outcome(
                    SingleObject.decode(record.value(), SegmentationRecord.class)
                            .getHeader(),
                    "result",
                    1);
        } else if (record.topic().endsWith("failures")) {
            FrameFailure failure = SingleObject.decode(record.value(), FrameFailure.class);
            outcome(failure.getHeader(), failure.getReason(), 1);
        } else {
            FrameDropped dropped = SingleObject.decode(record.value(), FrameDropped.class);
            outcome(dropped.getHeader(), dropped.getReason(), dropped.getCount());
        }
    }

    private void outcome(RecordHeader header, String what, long count) {
        if (!header.getCameraId().startsWith("honest-")) {
            outcomes.computeIfAbsent(what, unused -> new AtomicLong()).addAndGet(count);
            hostileSettled.addAndGet(count);
            return;
        }
        for (long i = 0; i < count; i++) {
            Long sent = open.remove(header.getCameraId() + "/" + (header.getSequence() + i));
            if (sent == null) {
                unexpected.incrementAndGet();
                continue;
            }
            long nanos = System.nanoTime() - sent;
            if (what.equals("result") && nanos <= IN_TIME.toNanos()) {
                latencies.add(TimeUnit.NANOSECONDS.toMillis(nanos));
            } else {
                late.incrementAndGet();
                outcomes.computeIfAbsent("honest " + what, unused -> new AtomicLong())
                        .incrementAndGet();
            }
        }
    }

    private long resident() throws IOException {
        if (!process.isAlive()) {
            return -1;
        }
        return Files.readAllLines(Path.of("/proc", Long.toString(process.pid()), "status")).stream()
                .filter(line -> line.startsWith("VmRSS"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024)
                .findFirst()
                .orElse(-1);
    }

    @Override
    public void close() {
        flooding = false;
        process.destroyForcibly().onExit().join();
        consumer.wakeup();
        producer.close(Duration.ZERO);
        compressing.close(Duration.ZERO);
    }
}
