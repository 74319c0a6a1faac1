package io.upliftstream.tools.demo;

import io.upliftstream.tools.traffic.Latencies;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The frames of a demo that were published and have not ended: since when, how large, and which labels are true. Who
 * publishes waits while there are many, for they must fit the disk and the memory. Safe for use by many threads.
 */
final class InFlight {
    private static final int MAX_FRAMES = 256;
    private static final long MAX_BYTES = 128L << 20;

    private record Key(String camera, long sequence) {}

    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Frame(long publishedNanos, int bytes, byte @Nullable [] labels) {}

    private final Map<Key, Frame> frames = new HashMap<>();
    /** Frames with results whose latencies are forgotten when others come: the first calls of a process are slow. */
    private static final int WARM_UP = 4;

    private Latencies latencies = new Latencies();
    private int completed;
    private long bytes;
    private long firstPublishNanos;
    private long lastEndNanos;

    /** Waits until few enough frames are on their way. */
    synchronized void awaitRoom() throws InterruptedException {
        while (frames.size() >= MAX_FRAMES || bytes >= MAX_BYTES) {
            wait();
        }
    }

    /** A frame is about to be sent. */
    synchronized void published(String camera, long sequence, int imageBytes, byte @Nullable [] labels) {
        long now = System.nanoTime();
        firstPublishNanos = firstPublishNanos == 0 ? now : firstPublishNanos;
        frames.put(new Key(camera, sequence), new Frame(now, imageBytes, labels));
        bytes += imageBytes;
    }

    /** The true labels of a frame; null if they are unknown or the frame has ended. */
    synchronized byte @Nullable [] labels(String camera, long sequence) {
        Frame frame = frames.get(new Key(camera, sequence));
        return frame == null ? null : frame.labels;
    }

    /**
     * A frame has ended.
     *
     * @param complete with all its results, so that its latency counts
     */
    synchronized void ended(String camera, long sequence, boolean complete) {
        Frame frame = frames.remove(new Key(camera, sequence));
        if (frame != null) {
            bytes -= frame.bytes;
            lastEndNanos = System.nanoTime();
            if (complete) {
                if (completed++ == WARM_UP) {
                    latencies = new Latencies();
                }
                latencies.add((lastEndNanos - frame.publishedNanos) / 1e6);
            }
            notifyAll();
        }
    }

    /** When the last frame so far ended, as {@link System#nanoTime}; 0 before the first. */
    synchronized long lastEndNanos() {
        return lastEndNanos;
    }

    /** Seconds from the first frame published to the last frame that ended. */
    synchronized double seconds() {
        return (lastEndNanos - firstPublishNanos) / 1e9;
    }

    /**
     * Milliseconds from publishing a frame to having read all its results, at a percentile; without
     * the first {@value #WARM_UP} once there are others; 0 before the first.
     */
    synchronized double latencyMillis(double percentile) {
        double millis = latencies.percentile(percentile);
        return Double.isNaN(millis) ? 0 : millis;
    }
}
