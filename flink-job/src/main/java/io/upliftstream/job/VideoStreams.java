package io.upliftstream.job;

import io.upliftstream.job.VideoState.Camera;
import io.upliftstream.job.VideoState.VideoId;
import io.upliftstream.model.DecodePool;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Decoded;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.util.ExceptionUtils;
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
    private final MailboxExecutor mailbox;
    private final PacketRereading rereading;
    private final Clock clock;
    private final VideoWay way;
    private final long idleMillis;
    private final int threads;

    /** Those not heard for longest come first. */
    private final Map<VideoId, VideoStream> streams = new LinkedHashMap<>(16, 0.75F, true);

    private final WaitingPackets.Total total = new WaitingPackets.Total();
    private final Map<VideoId, Camera> unclaimed = new HashMap<>();

    /** Those that may have something to do, and no thread is at it; the one whose turn is longest past comes first. */
    private final Set<VideoStream> ready = new LinkedHashSet<>();

    /** Those with a decoder; metrics read it. */
    private final Set<VideoStream> open = ConcurrentHashMap.newKeySet();

    private final Set<RawFrame> atWork = new HashSet<>();
    private int working;
    private boolean closed;

    private @Nullable DecodePool pool;

    VideoStreams(
            JobSettings settings,
            FrameParser parser,
            MailboxExecutor mailbox,
            PacketReader.Factory readers,
            Clock clock,
            VideoWay way) {
        this.settings = settings;
        this.mailbox = mailbox;
        rereading = new PacketRereading(settings, parser, mailbox, readers, way);
        this.clock = clock;
        this.way = way;
        idleMillis = settings.get(VideoOptions.IDLE).toMillis();
        int asked = settings.get(VideoOptions.THREADS);
        threads = asked > 0 ? asked : Math.max(1, Runtime.getRuntime().availableProcessors() / 4);
    }

    /** Takes what a checkpoint held of all subtasks; {@link #assigned} says what of it is this one's. */
    void restore(Map<VideoId, Camera> cameras) {
        unclaimed.putAll(cameras);
    }

    /** This subtask reads a partition, or has said all that it reads: then the others' cameras are theirs. */
    void assigned(RawFrame assignment) {
        if (assignment.topic().isEmpty()) {
            unclaimed.clear();
            return;
        }
        for (Camera camera : List.copyOf(unclaimed.values())) {
            VideoId id = camera.id();
            if (id.partition() == assignment.partition() && id.topic().equals(assignment.topic())) {
                claim(camera);
            }
        }
        step();
    }

    private VideoStream claim(Camera camera) {
        VideoStream stream = open(camera.id());
        stream.restore(camera, SteadyClock.elapsedMillis(clock));
        unclaimed.remove(camera.id());
        return stream;
    }

    private VideoStream open(VideoId id) {
        VideoStream stream = new VideoStream(
                id,
                new Choice(settings),
                codec -> new VideoDecoder(codec, settings.get(InputOptions.FRAME_MAX_PIXELS)),
                way,
                total);
        streams.put(id, stream);
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
        VideoId id = VideoId.of(packet);
        VideoStream stream = streams.get(id);
        if (stream == null) {
            if (streams.size() >= MAX_CAMERAS && !forgetOne()) {
                return false;
            }
            Camera before = unclaimed.get(id);
            stream = before == null ? open(id) : claim(before);
        }
        stream.take(packet, SteadyClock.elapsedMillis(clock));
        wake(stream);
        return true;
    }

    private boolean forgetOne() {
        VideoStream silent = first(VideoStream::empty);
        if (silent == null) {
            silent = first(VideoStream::asleep);
        }
        if (silent == null) {
            return false;
        }
        silent.forget();
        streams.remove(silent.id());
        ready.remove(silent);
        return true;
    }

    private @Nullable VideoStream first(Predicate<VideoStream> such) {
        return streams.values().stream().filter(such).findFirst().orElse(null);
    }

    private void wake(VideoStream stream) {
        if (!stream.working()) {
            ready.add(stream);
        }
    }

    /** Gives the decoders what they may do now, little more than there are threads; cameras take turns. */
    void step() {
        Iterator<VideoStream> each = ready.iterator();
        while (!closed && working <= threads && way.hasRoom() && each.hasNext()) {
            if (advance(each.next())) {
                each.remove();
            }
        }
    }

    /** Gives a stream's decoder what it may do; false if the stream waits for room. */
    private boolean advance(VideoStream stream) {
        stream.catchUp();
        PacketReader.Range again = stream.wantsMore() ? stream.feedAgain() : null;
        if (again != null) {
            rereading.feed(stream, again, () -> {
                wake(stream);
                way.moved();
            });
        }
        while (!stream.idle()) {
            if (!way.mayDecode(stream, !atWork.isEmpty())) {
                return false;
            }
            PacketDecoding.Work work = stream.next();
            if (work == null) {
                return true;
            }
            RawFrame source = work.source();
            if (source == null || way.begins(source)) {
                begin(stream, work, source);
                return true;
            }
            stream.refuse(work, FrameProblem.quarantined());
        }
        return true;
    }

    private void noteDecoder(VideoStream stream) {
        if (stream.decoding().isOpen()) {
            open.add(stream);
        } else {
            open.remove(stream);
        }
    }

    private void begin(VideoStream stream, PacketDecoding.Work work, @Nullable RawFrame source) {
        working++;
        if (source != null) {
            atWork.add(source);
        }
        long start = System.nanoTime();
        CompletableFuture<?> unused = pool().decode(stream.id().cameraId(), work::run)
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
            long nanos) {
        working--;
        if (source != null) {
            atWork.remove(source);
            way.ended(source, nanos);
        }
        if (failure != null) {
            SpoiltProcess.endIfSpoilt(failure);
        }
        stream.done(work, decoded, failure == null ? null : ExceptionUtils.stripCompletionException(failure));
        noteDecoder(stream);
        wake(stream);
        way.moved();
    }

    private DecodePool pool() {
        if (pool == null) {
            pool = new DecodePool(threads, settings.get(InputOptions.FRAME_TIMEOUT));
        }
        return pool;
    }

    /** Frees the decoders of cameras that fell silent. */
    void checkSilence() {
        long since = SteadyClock.elapsedMillis(clock) - idleMillis;
        for (VideoStream stream : streams.values()) {
            if (stream.heardMillis() <= since) {
                stream.sleep();
                noteDecoder(stream);
                wake(stream);
            }
        }
        step();
    }

    /** No packet comes any more. */
    void end() {
        for (VideoStream stream : streams.values()) {
            stream.end();
            wake(stream);
        }
        step();
    }

    /** Whether all packets are decoded as far as their decoders let pictures out. */
    boolean idle() {
        return working == 0 && rereading.idle() && ready.isEmpty();
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
        return total.packets() > MAX_PACKETS;
    }

    /** Packets that wait for their decoders; metrics read this number, and their bytes. */
    int waiting() {
        return total.packets();
    }

    /** Bytes of the packets that wait for their decoders. */
    long bytes() {
        return total.bytes();
    }

    /** Makes room at the camera with the most bytes; false if none waits. */
    boolean makeRoom() {
        VideoStream largest = streams.values().stream()
                .max(Comparator.comparingLong(stream -> stream.waiting().bytes()))
                .orElse(null);
        if (largest == null || largest.waiting().isEmpty()) {
            return false;
        }
        largest.makeRoom();
        wake(largest);
        return true;
    }

    /** Decoders that are open; of any thread, as the following. */
    int decoders() {
        return open.size();
    }

    /** Bytes that they take, estimated. */
    long decoderBytes() {
        return open.stream().mapToLong(stream -> stream.decoding().bytes()).sum();
    }

    void close() {
        closed = true;
        rereading.close();
        if (pool != null) {
            pool.close();
        }
        streams.values().forEach(stream -> stream.decoding().close());
    }
}
