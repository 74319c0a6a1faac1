package io.upliftstream.tools.demo;

import io.upliftstream.model.HeadKind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The accounts: which frames were published, and how each of them ended. A frame ends with a record of every head, or
 * with a failure, or in a run of dropped frames; anything beside that is an irregularity. Safe for use by many threads.
 */
final class Ledger {
    private static final int MAX_OPEN_FRAMES = 256;
    private static final long MAX_OPEN_BYTES = 128L << 20;

    /** What one camera's frames came to. */
    record Account(long published, long results, long failed, long dropped) {
        long open() {
            return published - results - failed - dropped;
        }
    }

    private record Frame(String camera, long sequence) {}

    private static final class Open {
        final long publishedNanos = System.nanoTime();
        final int bytes;
        final byte @Nullable [] labels;
        final Set<String> heads = new HashSet<>();

        Open(int bytes, byte @Nullable [] labels) {
            this.bytes = bytes;
            this.labels = labels;
        }
    }

    private final Set<String> heads;
    private final Map<Frame, Open> open = new HashMap<>();
    private final Map<String, Account> accounts = new TreeMap<>();
    private final Map<HeadKind, Long> records = new EnumMap<>(HeadKind.class);
    private final List<String> irregularities = new ArrayList<>();
    private long openBytes;
    private long firstPublishNanos;
    private long lastEndNanos;
    private double[] latencies = new double[256];
    private int results;

    /** @param heads of the model whose records make a frame complete */
    Ledger(Set<String> heads) {
        this.heads = Set.copyOf(heads);
    }

    /** Waits until few enough frames are on their way: what is in flight must fit the disk and the memory. */
    synchronized void awaitRoom() throws InterruptedException {
        while (open.size() >= MAX_OPEN_FRAMES || openBytes >= MAX_OPEN_BYTES) {
            wait();
        }
    }

    /** A frame is about to be sent. */
    synchronized void published(String camera, long sequence, int bytes, byte @Nullable [] labels) {
        if (accounts.isEmpty()) {
            firstPublishNanos = System.nanoTime();
        }
        open.put(new Frame(camera, sequence), new Open(bytes, labels));
        openBytes += bytes;
        count(camera, 1, 0, 0, 0);
    }

    /**
     * A head's record was read.
     *
     * @return the true labels of the frame; null if unknown
     */
    synchronized byte @Nullable [] result(String camera, long sequence, String head, HeadKind kind) {
        records.merge(kind, 1L, Long::sum);
        Frame frame = new Frame(camera, sequence);
        Open entry = open.get(frame);
        if (entry == null || !heads.contains(head) || !entry.heads.add(head)) {
            irregularities.add("%s of %s %d: a second record, or one for a frame that has ended"
                    .formatted(head, camera, sequence));
            return null;
        }
        if (entry.heads.size() == heads.size()) {
            end(frame, entry);
            latency((lastEndNanos - entry.publishedNanos) / 1e6);
            count(camera, 0, 1, 0, 0);
        }
        return entry.labels;
    }

    /** A failure record was read. */
    synchronized void failed(String camera, long sequence) {
        Frame frame = new Frame(camera, sequence);
        Open entry = open.get(frame);
        if (entry == null || !entry.heads.isEmpty()) {
            irregularities.add("failure of %s %d: beside another record of the frame".formatted(camera, sequence));
            return;
        }
        end(frame, entry);
        count(camera, 0, 0, 1, 0);
    }

    /** A drop record was read: count frames of the camera, from one sequence to another, both included. */
    synchronized void dropped(String camera, long first, long last, long count) {
        long ended = 0;
        for (long sequence = first; sequence <= last; sequence++) {
            Frame frame = new Frame(camera, sequence);
            Open entry = open.get(frame);
            if (entry != null && entry.heads.isEmpty()) {
                end(frame, entry);
                ended++;
            }
        }
        if (ended != count) {
            irregularities.add("drop of %d frames of %s, %d to %d: %d of them were open"
                    .formatted(count, camera, first, last, ended));
        }
        count(camera, 0, 0, 0, count);
    }

    private void end(Frame frame, Open entry) {
        open.remove(frame);
        openBytes -= entry.bytes;
        lastEndNanos = System.nanoTime();
        notifyAll();
    }

    private void count(String camera, long published, long results, long failed, long dropped) {
        Account account = accounts.getOrDefault(camera, new Account(0, 0, 0, 0));
        accounts.put(
                camera,
                new Account(
                        account.published + published,
                        account.results + results,
                        account.failed + failed,
                        account.dropped + dropped));
    }

    private void latency(double millis) {
        if (results == latencies.length) {
            latencies = Arrays.copyOf(latencies, 2 * results);
        }
        latencies[results++] = millis;
    }

    /** Whether nothing that was published is still on its way. */
    synchronized boolean settled() {
        return open.isEmpty();
    }

    /** Whether every frame ended, once, and nothing else came. */
    synchronized boolean balanced() {
        return open.isEmpty() && irregularities.isEmpty();
    }

    /** What should not have happened, one sentence each. */
    synchronized List<String> irregularities() {
        return List.copyOf(irregularities);
    }

    /** By camera id. */
    synchronized Map<String, Account> accounts() {
        return new TreeMap<>(accounts);
    }

    synchronized Account total() {
        Account sum = new Account(0, 0, 0, 0);
        for (Account account : accounts.values()) {
            sum = new Account(
                    sum.published + account.published,
                    sum.results + account.results,
                    sum.failed + account.failed,
                    sum.dropped + account.dropped);
        }
        return sum;
    }

    /** How many records of a kind of head were read. */
    synchronized long records(HeadKind kind) {
        return records.getOrDefault(kind, 0L);
    }

    /** When the last frame so far ended, as {@link System#nanoTime}; 0 before the first. */
    synchronized long lastEndNanos() {
        return lastEndNanos;
    }

    /** Frames with results per second, from the first frame published to the last frame that ended. */
    synchronized double framesPerSecond() {
        return results == 0 ? 0 : results / ((lastEndNanos - firstPublishNanos) / 1e9);
    }

    /** Milliseconds from publishing a frame to having all its results, at a percentile from 0 to 100. */
    synchronized double latencyMillis(double percentile) {
        if (results == 0) {
            return 0;
        }
        double[] sorted = Arrays.copyOf(latencies, results);
        Arrays.sort(sorted);
        return sorted[(int) Math.min(results - 1, Math.max(0, Math.ceil(percentile / 100 * results) - 1))];
    }
}
