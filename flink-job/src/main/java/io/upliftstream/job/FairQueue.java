package io.upliftstream.job;

import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Frames that wait for their turn at the model. Cameras take turns, one frame each; a camera's frames keep their order.
 * What has to go goes from the front of a camera's frames, so that an account of it is a run.
 */
final class FairQueue {
    /** What a frame takes beside its bytes: objects, collections, its place in them. */
    private static final int OVERHEAD = 512;

    /** The camera whose turn it is first. */
    private final Map<String, Waiting> cameras = new LinkedHashMap<>();

    private long bytes;
    private int size;

    private static final class Waiting {
        private final Deque<Frame> frames = new ArrayDeque<>();
        private long bytes;
    }

    /** What a frame takes in memory before it is decoded: the record, and the image where that is a copy. */
    static long bytes(Frame frame) {
        byte[] value = frame.source().value();
        long record = value == null ? 0 : value.length;
        return OVERHEAD + record + (frame.image() == value ? 0 : frame.image().length);
    }

    void add(Frame frame) {
        Waiting waiting = cameras.computeIfAbsent(frame.cameraId(), unused -> new Waiting());
        waiting.frames.add(frame);
        long added = bytes(frame);
        waiting.bytes += added;
        bytes += added;
        size++;
    }

    /**
     * Takes the oldest frame of the camera whose turn it is.
     *
     * @param young frames that are not are passed to {@code letGo} instead and cost their camera no turn
     */
    Optional<Frame> next(Predicate<Frame> young, Consumer<Frame> letGo) {
        Iterator<Map.Entry<String, Waiting>> turns = cameras.entrySet().iterator();
        while (turns.hasNext()) {
            Map.Entry<String, Waiting> turn = turns.next();
            turns.remove();
            Waiting waiting = turn.getValue();
            while (!waiting.frames.isEmpty()) {
                Frame frame = remove(waiting);
                if (young.test(frame)) {
                    if (!waiting.frames.isEmpty()) {
                        cameras.put(turn.getKey(), waiting); // at the end
                    }
                    return Optional.of(frame);
                }
                letGo.accept(frame);
            }
        }
        return Optional.empty();
    }

    /** Takes the oldest frame of the camera that has the most bytes here: who sends more than others makes room first. */
    Optional<Frame> oldestOfLargest() {
        Optional<Map.Entry<String, Waiting>> largest =
                cameras.entrySet().stream().max(Comparator.comparingLong(entry -> entry.getValue().bytes));
        return largest.map(entry -> {
            Frame frame = remove(entry.getValue());
            if (entry.getValue().frames.isEmpty()) {
                cameras.remove(entry.getKey());
            }
            return frame;
        });
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
        long removed = bytes(frame);
        waiting.bytes -= removed;
        bytes -= removed;
        size--;
        return frame;
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
