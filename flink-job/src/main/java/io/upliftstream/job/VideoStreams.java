package io.upliftstream.job;

import io.upliftstream.job.VideoState.Camera;
import io.upliftstream.model.DecodePool;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Decoded;
import java.io.IOException;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.util.ExceptionUtils;
import org.apache.flink.util.function.ThrowingRunnable;
import org.apache.kafka.common.errors.InterruptException;
import org.jspecify.annotations.Nullable;

/**
 * The videos of a subtask's cameras. Packets are decoded beside the subtask's thread, those of a camera one after the other;
 * what they bring goes on from the mailbox. Threads and readers begin with the first packet. For the subtask's thread.
 */
final class VideoStreams {
    /** Cameras with a stream; a publisher may invent one for every packet. */
    static final int MAX_CAMERAS = 1000;

    /** Packets that wait for their decoders in lossless mode; the next one waits on Kafka. */
    private static final int MAX_PACKETS = 16;

    private final JobSettings settings;
    private final FrameParser parser;
    private final MailboxExecutor mailbox;
    private final PacketReader.Factory readers;
    private final Clock clock;
    private final VideoWay way;
    private final long idleMillis;

    private final Map<String, VideoStream> streams = new LinkedHashMap<>();
    private final Map<String, Long> heardMillis = new HashMap<>();
    private final Map<String, Camera> unclaimed = new HashMap<>();
    private final Set<RawFrame> atWork = new HashSet<>();
    private int working;
    private boolean closed;
    private volatile int decoders;
    private volatile long decoderBytes;

    private @Nullable DecodePool pool;
    private @Nullable ExecutorService reading;
    private @Nullable PacketReader reader;

    VideoStreams(
            JobSettings settings,
            FrameParser parser,
            MailboxExecutor mailbox,
            PacketReader.Factory readers,
            Clock clock,
            VideoWay way) {
        this.settings = settings;
        this.parser = parser;
        this.mailbox = mailbox;
        this.readers = readers;
        this.clock = clock;
        this.way = way;
        idleMillis = settings.get(VideoOptions.IDLE).toMillis();
    }

    /** Takes what a checkpoint held of all subtasks; {@link #assigned} says what of it is this one's. */
    void restore(Map<String, Camera> cameras) {
        unclaimed.putAll(cameras);
    }

    /** This subtask reads a partition, or has said all that it reads: then the others' cameras are theirs. */
    void assigned(RawFrame assignment) throws IOException {
        if (assignment.topic().isEmpty()) {
            unclaimed.clear();
            return;
        }
        for (Camera camera : List.copyOf(unclaimed.values())) {
            if (camera.partition() == assignment.partition() && camera.topic().equals(assignment.topic())) {
                claim(camera);
            }
        }
        step();
    }

    private VideoStream claim(Camera camera) {
        VideoStream stream = open(camera.cameraId());
        stream.restore(camera);
        heardMillis.put(camera.cameraId(), clock.millis());
        unclaimed.remove(camera.cameraId());
        return stream;
    }

    private VideoStream open(String cameraId) {
        VideoStream stream = new VideoStream(
                cameraId,
                new Choice(settings),
                codec -> new VideoDecoder(codec, settings.get(InputOptions.FRAME_MAX_PIXELS)),
                way);
        streams.put(cameraId, stream);
        return stream;
    }

    /** What a checkpoint has to hold. Until the first assignment everything: nobody else may have written it yet. */
    Collection<Camera> state() {
        List<Camera> cameras = new ArrayList<>(unclaimed.values());
        streams.values().forEach(stream -> cameras.add(stream.state()));
        return cameras;
    }

    /** Takes a packet; false if too many cameras have something in their decoders. */
    boolean take(Frame packet) {
        String cameraId = packet.cameraId();
        VideoStream stream = streams.get(cameraId);
        if (stream == null) {
            if (streams.size() >= MAX_CAMERAS && !forgetOne()) {
                return false;
            }
            Camera before = unclaimed.get(cameraId);
            stream = before == null ? open(cameraId) : claim(before);
        }
        heardMillis.put(cameraId, clock.millis());
        stream.take(packet);
        return true;
    }

    private boolean forgetOne() {
        for (Iterator<VideoStream> each = streams.values().iterator(); each.hasNext(); ) {
            VideoStream stream = each.next();
            if (stream.empty()) {
                heardMillis.remove(stream.cameraId());
                each.remove();
                return true;
            }
        }
        return false;
    }

    /** Gives the decoders what they may do now; cameras take turns. */
    void step() throws IOException {
        if (closed) {
            return;
        }
        for (VideoStream stream : List.copyOf(streams.values())) {
            if (stream.working()) {
                continue;
            }
            stream.catchUp();
            if (stream.wantsMore()) {
                readAgain(stream, stream.feedAgain());
            }
            while (!stream.working() && !stream.idle() && way.mayDecode(stream)) {
                PacketDecoding.Work work = stream.next();
                if (work == null) {
                    break;
                }
                RawFrame source = work.source();
                if (source != null && !way.begins(source)) {
                    stream.refuse(work, FrameProblem.quarantined());
                    continue;
                }
                begin(stream, work, source);
            }
        }
        decoders = (int) streams.values().stream()
                .filter(stream -> stream.decoding().isOpen())
                .count();
        decoderBytes = streams.values().stream()
                .mapToLong(stream -> stream.decoding().bytes())
                .sum();
    }

    private void begin(VideoStream stream, PacketDecoding.Work work, @Nullable RawFrame source) {
        working++;
        if (source != null) {
            atWork.add(source);
        }
        long start = System.nanoTime();
        CompletableFuture<?> unused = pool().decode(stream.cameraId(), work::run)
                .whenComplete((decoded, failure) -> mailbox.execute(
                        () -> done(stream, work, source, decoded, failure, System.nanoTime() - start),
                        "take what a decoder has brought"));
    }

    private void done(
            VideoStream stream,
            PacketDecoding.Work work,
            @Nullable RawFrame source,
            @Nullable Decoded decoded,
            @Nullable Throwable failure,
            long nanos)
            throws IOException {
        working--;
        if (source != null) {
            atWork.remove(source);
            way.ended(source, nanos);
        }
        stream.done(work, decoded, failure == null ? null : ExceptionUtils.stripCompletionException(failure));
        way.moved();
    }

    private DecodePool pool() {
        if (pool == null) {
            int threads = settings.get(VideoOptions.THREADS);
            pool = new DecodePool(
                    threads > 0 ? threads : Math.max(1, Runtime.getRuntime().availableProcessors() / 4),
                    settings.get(InputOptions.FRAME_TIMEOUT));
        }
        return pool;
    }

    /** Feeds a stream what it has had before, beside the subtask's thread. */
    private void readAgain(VideoStream stream, PacketReader.Range range) {
        if (reading == null) {
            reading = Executors.newSingleThreadExecutor(task -> {
                Thread thread = new Thread(() -> runAndClose(task), "uplift-packets");
                thread.setDaemon(true);
                return thread;
            });
        }
        reading.execute(() -> {
            try {
                readAgain(range, stream);
                mail(() -> {
                    stream.fedAgainWhole();
                    way.moved();
                });
            } catch (InterruptException | RejectedExecutionException e) {
                Thread.currentThread().interrupt(); // the subtask ends
            } catch (RuntimeException e) {
                mail(() -> {
                    throw new IOException(
                            "packets of camera %s cannot be read again: %s"
                                    .formatted(stream.cameraId(), e.getMessage()),
                            e);
                });
            }
        });
    }

    private void runAndClose(Runnable task) {
        try {
            task.run();
        } finally {
            boolean interrupted = Thread.interrupted();
            if (reader != null) {
                reader.close();
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void readAgain(PacketReader.Range range, VideoStream stream) {
        if (reader == null) {
            reader = readers.open(settings);
        }
        reader.read(range, source -> {
            Frame packet = packet(source);
            if (packet != null && packet.cameraId().equals(stream.cameraId())) {
                try {
                    stream.againRoom().acquire();
                } catch (InterruptedException e) {
                    throw new InterruptException(e);
                }
                mail(() -> {
                    stream.fedAgain(packet);
                    way.moved();
                });
            }
            return !Thread.currentThread().isInterrupted();
        });
    }

    private @Nullable Frame packet(RawFrame source) {
        try {
            Frame frame = parser.parse(source);
            return frame.packet() == null ? null : frame;
        } catch (FrameProblem failed) { // it has its failure record since it was first read
            return null;
        }
    }

    private void mail(ThrowingRunnable<? extends Exception> work) {
        mailbox.execute(work, "packets that are read again");
    }

    /** Frees the decoders of cameras that fell silent. */
    void checkSilence() throws IOException {
        long since = clock.millis() - idleMillis;
        for (VideoStream stream : streams.values()) {
            if (heardMillis.getOrDefault(stream.cameraId(), 0L) <= since) {
                stream.sleep();
            }
        }
        step();
    }

    /** No packet comes any more. */
    void end() throws IOException {
        streams.values().forEach(VideoStream::end);
        step();
    }

    /** Whether all packets are decoded as far as their decoders let pictures out. */
    boolean idle() {
        return working == 0 && streams.values().stream().allMatch(VideoStream::idle);
    }

    boolean isEmpty() {
        return streams.isEmpty();
    }

    /** Calls of decoders. */
    int working() {
        return working;
    }

    /** The packets that decoders work on. */
    Set<RawFrame> atWork() {
        return atWork;
    }

    /** Whether as many packets wait for their decoders as are to wait where none is let go. */
    boolean full() {
        return streams.values().stream().mapToInt(VideoStream::packets).sum() > MAX_PACKETS;
    }

    long bytes() {
        return streams.values().stream().mapToLong(VideoStream::waitingBytes).sum();
    }

    /** Makes room at the camera with the most bytes; false if none waits. */
    boolean makeRoom() {
        VideoStream largest = streams.values().stream()
                .max(Comparator.comparingLong(VideoStream::waitingBytes))
                .orElse(null);
        if (largest == null || largest.packets() == 0) {
            return false;
        }
        largest.makeRoom();
        return true;
    }

    /** Decoders that are open; of any thread, as the following. */
    int decoders() {
        return decoders;
    }

    /** Bytes that they take, estimated. */
    long decoderBytes() {
        return decoderBytes;
    }

    void close() {
        closed = true;
        if (reading != null) {
            reading.shutdownNow(); // its thread closes the reader when it ends
        }
        if (pool != null) {
            pool.close();
        }
        streams.values().forEach(stream -> stream.decoding().close());
    }
}
