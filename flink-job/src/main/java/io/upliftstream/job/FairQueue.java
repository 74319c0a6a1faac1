package io.upliftstream.job;

import io.upliftstream.model.Picture;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Frames that wait for their turn at the model, by start-time fair queueing (Goyal, Vin and Cheng, 1996) with cameras as
 * flows and frames as units: a camera that takes less than an even share goes before those that take more, and what it
 * leaves is shared among these. A camera's frames keep their order. What has to go goes from the front of a camera's
 * frames, so that an account of it is a run.
 */
final class FairQueue {
    /** Cameras that wait or had a turn not long ago: a publisher may invent one for every frame. */
    static final int MAX_CAMERAS = 1000;

    /** Bytes that a frame takes beside those of its record: objects, and its share of the collections. */
    private static final int OVERHEAD = 512;

    /** Cameras with frames here, and cameras that had a turn not long ago; the one whose turn is longest past comes first. */
    private final Map<String, Waiting> cameras = new LinkedHashMap<>();

    /** The cameras with frames, by their turns; of several with the same turn, the one whose last turn is longest past. */
    private final NavigableSet<Waiting> ready = new TreeSet<>(
            Comparator.<Waiting>comparingLong(waiting -> waiting.turn).thenComparingLong(waiting -> waiting.order));

    /** Virtual time: the latest turn of the frames that were taken; it never goes back. */
    private long now;

    private long orders;
    private long bytes;
    private int size;

    /** The waiting frames of one camera. */
    private static final class Waiting {
        private final String cameraId;
        private final Deque<Frame> frames = new ArrayDeque<>();
        private long bytes;

        /** Of cameras with the same turn the one with the lowest order is next; a camera goes to the end with every turn. */
        private long order;

        /** Virtual time at which the camera's next frame is due: one after its last, but never before it came. */
        private long turn;

        private Waiting(String cameraId, long order) {
            this.cameraId = cameraId;
            this.order = order;
        }
    }

    /**
     * Bytes that a frame takes in memory until it is in the model's size: the record with its key and trace, the image where
     * that is a copy, the pixels of a video's picture, and the name of the camera.
     */
    static long bytes(Frame frame) {
        byte[] value = frame.source().value();
        byte[] key = frame.source().key();
        Picture picture = frame.picture();
        return OVERHEAD
                + (value == null ? 0L : value.length)
                + (key == null ? 0 : key.length)
                + frame.trace().length()
                + 2L * frame.cameraId().length()
                + (frame.image() == value ? 0 : frame.image().length)
                + (picture == null ? 0 : picture.bytes());
    }

    /** Whether the frame is taken: it is not if more than {@value #MAX_CAMERAS} cameras would wait then. */
    boolean add(Frame frame) {
        if (!cameras.containsKey(frame.cameraId()) && cameras.size() >= MAX_CAMERAS && !forgetOne()) {
            return false;
        }
        Waiting waiting = cameras.computeIfAbsent(frame.cameraId(), id -> new Waiting(id, orders++));
        if (waiting.frames.isEmpty()) {
            waiting.turn = Math.max(waiting.turn, now);
            ready.add(waiting);
        }
        waiting.frames.add(frame);
        long added = bytes(frame);
        waiting.bytes += added;
        bytes += added;
        size++;
        return true;
    }

    /** Forgets the turn of the camera without frames whose turn is longest past, if there is one. */
    private boolean forgetOne() {
        for (Iterator<Waiting> each = cameras.values().iterator(); each.hasNext(); ) {
            if (each.next().frames.isEmpty()) {
                each.remove();
                return true;
            }
        }
        return false;
    }

    /**
     * Takes the oldest frame of the camera whose turn it is.
     *
     * @param free whether a camera may have a turn now; one that may not keeps its frames and its turn
     * @param young whether a frame may be taken; the others are passed to {@code letGo} and cost their camera no turn
     */
    Optional<Frame> next(Predicate<String> free, Predicate<Frame> young, Consumer<Frame> letGo) {
        while (size > 0) {
            Waiting first = ready.stream()
                    .filter(waiting -> free.test(waiting.cameraId))
                    .findFirst()
                    .orElse(null);
            if (first == null) {
                return Optional.empty();
            }
            while (!first.frames.isEmpty()) {
                Frame frame = remove(first);
                if (young.test(frame)) {
                    takeTurn(first);
                    return Optional.of(frame);
                }
                letGo.accept(frame);
            }
            if (first.turn <= now) {
                cameras.remove(first.cameraId);
            }
        }
        return Optional.empty();
    }

    private void takeTurn(Waiting waiting) {
        ready.remove(waiting);
        now = Math.max(now, waiting.turn); // the camera may have been held back while others had later turns
        waiting.turn++;
        waiting.order = orders++;
        if (!waiting.frames.isEmpty()) {
            ready.add(waiting);
        }
        cameras.remove(waiting.cameraId);
        cameras.put(waiting.cameraId, waiting); // at the end
        Iterator<Waiting> past = cameras.values().iterator();
        while (past.hasNext()) {
            Waiting each = past.next();
            if (!each.frames.isEmpty() || each.turn > now) {
                return;
            }
            past.remove(); // its turn would be now, as if it had never been here
        }
    }

    /** Takes the oldest frame of the camera that has the most bytes here: who sends more than others makes room first. */
    Optional<Frame> oldestOfLargest() {
        return ready.stream()
                .max(Comparator.comparingLong(waiting -> waiting.bytes))
                .map(this::remove);
    }

    /** Takes all frames of a camera, the oldest first; it keeps its turn for the next one. */
    void clear(String cameraId, Consumer<Frame> letGo) {
        Waiting waiting = cameras.get(cameraId);
        while (waiting != null && !waiting.frames.isEmpty()) {
            letGo.accept(remove(waiting));
        }
    }

    private Frame remove(Waiting waiting) {
        Frame frame = waiting.frames.remove();
        if (waiting.frames.isEmpty()) {
            ready.remove(waiting);
        }
        long removed = bytes(frame);
        waiting.bytes -= removed;
        bytes -= removed;
        size--;
        return frame;
    }

    /** Those of one camera. */
    int frames(String cameraId) {
        Waiting waiting = cameras.get(cameraId);
        return waiting == null ? 0 : waiting.frames.size();
    }

    boolean isEmpty() {
        return size == 0;
    }

    int size() {
        return size;
    }

    long bytes() {
        return bytes;
    }
}
