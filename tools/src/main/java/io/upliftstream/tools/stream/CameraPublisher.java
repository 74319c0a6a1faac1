package io.upliftstream.tools.stream;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.StartupException;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.UnreadableShotException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;

/**
 * Sends the frames of cameras to the job's input topic, as {@link CameraFrame} or {@link VideoPacket} or alone, a thread
 * for each camera.
 *
 * <p>A camera that fails, or a picture that cannot be read or sent, is counted and {@link #news() named}; the others go on.
 *
 * <p>Until {@link #begin()} recorded cameras take pictures ahead, so that a job on the same processor is not measured by
 * what it costs to draw or decode the first {@value #MAX_AHEAD} of each.
 */
public final class CameraPublisher implements AutoCloseable {
    /** Which partition a camera's frames are on. */
    public enum Spread {
        /** By the hash of the camera's name: always the same, whoever sends. */
        BY_NAME,
        /** Camera i on partition i, modulo their number: evenly. */
        IN_TURN
    }

    /** A listener is told of every frame before it is sent, and may keep the camera waiting. */
    public interface Listener {
        void sending(String camera, long sequence, Shot shot) throws InterruptedException;
    }

    /**
     * How far a camera is.
     *
     * @param frames that have arrived at the broker
     * @param bytes of them
     * @param failed pictures that could not be read or sent, and one if the camera could not go on
     */
    public record Progress(String camera, long frames, long bytes, long failed) {}

    /** Failures of one camera that are named; the others are counted. */
    private static final int MAX_NAMED = 20;

    private static final int MAX_AHEAD = 128;
    private static final long MAX_AHEAD_BYTES = 32L << 20;
    /** What a record has around its value at the broker. */
    private static final int OVERHEAD_BYTES = 512;
    /** A live camera that is this far behind does not catch up, which would be a burst. */
    private static final Duration STALL = Duration.ofSeconds(1);

    /** A camera that is inside FFmpeg does not hear that it is to stop. */
    private static final Duration PATIENCE = Duration.ofSeconds(15);

    private final KafkaProducer<String, byte[]> producer;
    private final String topic;
    private final InputRecords records;
    private final int maxRecordBytes;
    private final Schedule schedule;
    private final Listener listener;
    private final CountDownLatch begun = new CountDownLatch(1);
    private final List<Run> runs = new ArrayList<>();
    private final Queue<String> news = new ConcurrentLinkedQueue<>();

    private static final class Run {
        final Camera camera;
        final @Nullable Integer partition;
        final CompletableFuture<Void> end = new CompletableFuture<>();
        final AtomicLong frames = new AtomicLong();
        final AtomicLong bytes = new AtomicLong();
        final AtomicLong failed = new AtomicLong();
        final Set<String> said = ConcurrentHashMap.newKeySet();

        @Nullable
        Thread thread;

        Run(Camera camera, @Nullable Integer partition) {
            this.camera = camera;
            this.partition = partition;
        }
    }

    /**
     * Prepares cameras.
     *
     * @param settings of the job that reads the topic
     * @param maxRecordBytes that the topic takes
     * @param bare whether images and packets are sent alone
     * @throws StartupException if the settings name a schema registry that has no id for the frames
     */
    public CameraPublisher(
            JobSettings settings,
            List<Camera> cameras,
            Schedule schedule,
            Spread spread,
            int maxRecordBytes,
            boolean bare,
            Listener listener) {
        this.topic = settings.get(InputOptions.INPUT_TOPIC);
        Set<Class<? extends SpecificRecord>> types = new HashSet<>();
        cameras.forEach(camera -> types.add(camera.packets() ? VideoPacket.class : CameraFrame.class));
        records = new InputRecords(settings, types, bare);
        this.schedule = schedule;
        this.maxRecordBytes = maxRecordBytes;
        this.listener = listener;
        Properties properties = settings.kafkaProperties();
        properties.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, maxRecordBytes);
        producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer());
        int partitions =
                spread == Spread.IN_TURN ? producer.partitionsFor(topic).size() : 0;
        for (int i = 0; i < cameras.size(); i++) {
            runs.add(new Run(cameras.get(i), partitions == 0 ? null : i % partitions));
        }
        for (Run run : runs) {
            Thread thread = new Thread(() -> publish(run), "camera " + run.camera.id());
            thread.setDaemon(true);
            run.thread = thread;
            thread.start();
        }
    }

    private void publish(Run run) {
        try {
            sendAll(run);
            run.end.complete(null);
        } catch (InterruptedException | InterruptException | InterruptedIOException e) {
            run.end.cancel(false);
        } catch (IOException | RuntimeException | LinkageError e) { // a library that is missing ends it too
            fail(run, e);
            run.end.complete(null);
        }
    }

    private void fail(Run run, Throwable cause) {
        long failed = run.failed.incrementAndGet();
        if (failed <= MAX_NAMED) {
            String message = cause.getMessage() == null ? cause.toString() : cause.getMessage();
            say(run, message + (failed == MAX_NAMED ? " (the last that is named)" : ""));
        }
    }

    /** Each sentence once: a camera that begins again says the same. */
    private void say(Run run, String sentence) {
        if (run.said.add(sentence)) {
            news.add(run.camera.id() + ": " + sentence);
        }
    }

    /** The camera's next picture that can be read; null after the last. */
    private @Nullable Shot next(Run run) throws IOException {
        while (true) {
            try {
                return run.camera.next();
            } catch (UnreadableShotException e) {
                fail(run, e);
            } finally {
                run.camera.notes().forEach(note -> say(run, note));
            }
        }
    }

    private void sendAll(Run run) throws IOException, InterruptedException {
        Camera camera = run.camera;
        Deque<Shot> ahead = camera.live() ? new ArrayDeque<>() : takeAhead(run);
        begun.await();
        long start = System.nanoTime();
        Instant begin = Instant.now();
        Instant firstCapture = camera.live() ? null : schedule.firstCapture();
        long sequence = 0;
        while (sequence < schedule.frames() && !run.end.isDone()) {
            if (Thread.interrupted()) { // a camera that is behind does not sleep
                throw new InterruptedException();
            }
            Shot shot = ahead.isEmpty() ? next(run) : ahead.remove();
            if (shot == null) {
                break;
            }
            long due = start + due(shot, sequence);
            if (!camera.live()) {
                TimeUnit.NANOSECONDS.sleep(due - System.nanoTime());
            } else if (schedule.framesPerSecond() != Schedule.NATIVE) {
                long late = System.nanoTime() - due;
                if (late < 0) {
                    continue;
                }
                start += late > STALL.toNanos() ? late : 0;
            }
            Instant capture = capture(camera, shot, firstCapture, begin);
            ProducerRecord<String, byte[]> record = records.of(run.partition, camera.id(), sequence, shot, capture);
            if (record.value().length + OVERHEAD_BYTES > maxRecordBytes) {
                fail(run, new IOException(tooLarge(camera.id(), sequence, record.value().length)));
            } else {
                listener.sending(camera.id(), sequence, shot);
                send(run, sequence, record);
            }
            sequence++;
        }
        producer.flush();
    }

    private Instant capture(Camera camera, Shot shot, @Nullable Instant first, Instant begin) {
        if (first != null) {
            return first.plus(shot.position());
        } else if (camera.live() || !shot.isPacket()) {
            return Instant.now();
        }
        // Packets go out in decoding order; at a rate of its own the file's clock runs so much faster or slower.
        double pace = camera.framesPerSecond() / schedule.framesPerSecond();
        return begin.plusNanos(Math.round(shot.position().toNanos() * pace));
    }

    /** Nanoseconds after the start. */
    private long due(Shot shot, long sequence) {
        double rate = schedule.framesPerSecond();
        return rate == Schedule.NATIVE ? shot.position().toNanos() : (long) (sequence * 1e9 / rate);
    }

    private String tooLarge(String camera, long sequence, int bytes) {
        return "frame %d of %s: %d bytes (expected: at most %d, max.message.bytes of topic %s; a lower quality, bit rate or size makes frames smaller)"
                .formatted(sequence, camera, bytes, maxRecordBytes - OVERHEAD_BYTES, topic);
    }

    private void send(Run run, long sequence, ProducerRecord<String, byte[]> record) {
        Future<?> unused = producer.send(record, (metadata, failed) -> {
            if (failed == null) {
                run.frames.incrementAndGet();
                run.bytes.addAndGet(record.value().length);
            } else {
                fail(
                        run,
                        new IOException(
                                "frame %d of %s could not be sent: %s"
                                        .formatted(sequence, record.key(), failed.getMessage()),
                                failed));
                if (!(failed instanceof RecordTooLargeException)) { // the next would not arrive either
                    run.end.complete(null);
                }
            }
        });
    }

    private Deque<Shot> takeAhead(Run run) throws IOException {
        Deque<Shot> ahead = new ArrayDeque<>();
        long bytes = 0;
        while (begun.getCount() > 0
                && ahead.size() < Math.min(MAX_AHEAD, schedule.frames())
                && bytes < MAX_AHEAD_BYTES) {
            Shot shot = next(run);
            if (shot == null) {
                break;
            }
            ahead.add(shot);
            bytes += shot.image().length;
        }
        return ahead;
    }

    /** Begins to publish. */
    public void begin() {
        begun.countDown();
    }

    /** How far every camera is. */
    public List<Progress> progress() {
        return runs.stream()
                .map(run -> new Progress(run.camera.id(), run.frames.get(), run.bytes.get(), run.failed.get()))
                .toList();
    }

    /** Whether every camera has sent its last frame, or could not go on. */
    public boolean finished() {
        return runs.stream().allMatch(run -> run.end.isDone());
    }

    /** What there was to say since this was asked last: failures and notes, a sentence each. */
    public List<String> news() {
        List<String> taken = new ArrayList<>();
        for (String sentence = news.poll(); sentence != null; sentence = news.poll()) {
            taken.add(sentence);
        }
        return taken;
    }

    /** How many pictures and cameras failed. */
    public long failed() {
        return runs.stream().mapToLong(run -> run.failed.get()).sum();
    }

    /** Stops publishing; frames on their way still arrive. */
    @Override
    public void close() {
        boolean interrupted = Thread.interrupted();
        List<Thread> threads = new ArrayList<>();
        runs.forEach(run -> {
            if (run.thread != null) {
                threads.add(run.thread);
            }
        });
        threads.forEach(Thread::interrupt);
        for (Thread thread : threads) {
            try {
                thread.join(PATIENCE.toMillis());
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        producer.close(PATIENCE);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
