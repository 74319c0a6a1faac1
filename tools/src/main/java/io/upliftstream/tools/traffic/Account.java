package io.upliftstream.tools.traffic;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;

/**
 * Holds what was read from the output topics against what was published: every frame of every camera, how it ended, how
 * often, and in which order. Unlike a running count it can be asked at any time, and it forgives repeats until it is
 * told that there should be none. Safe for use by many threads.
 */
public final class Account {
    /**
     * What the account comes to, in frames except where said.
     *
     * @param results with a record of every head
     * @param failures without results, with a failure record
     * @param drops without either, in a drop record
     * @param lost that did not end
     * @param repeated that ended more than once
     * @param unidentified records about a frame that name another source offset than the first one did
     * @param strangers records about frames that nobody published
     * @param misordered records that came, for the first time, after one of a later frame of the camera
     */
    public record Balance(
            long published,
            long results,
            long failures,
            long drops,
            long lost,
            long repeated,
            long unidentified,
            long strangers,
            long misordered) {

        /** Every frame ended, in one way and once, in the order of its camera. */
        public boolean exactlyOnce() {
            return atLeastOnce() && repeated == 0;
        }

        /** What keeps this from {@link #exactlyOnce}, one sentence each. */
        public List<String> irregularities() {
            Map<String, Long> counts = new LinkedHashMap<>();
            counts.put("frames did not end", lost);
            counts.put("frames ended more than once", repeated);
            counts.put("records name another source offset than the first record of their frame", unidentified);
            counts.put("records are about frames that nobody published", strangers);
            counts.put("records came after one of a later frame of their camera", misordered);
            return counts.entrySet().stream()
                    .filter(count -> count.getValue() > 0)
                    .map(count -> count.getValue() + " " + count.getKey())
                    .toList();
        }

        /** Every frame ended, in the order of its camera, and a repeat can be told by its source offset. */
        public boolean atLeastOnce() {
            return lost == 0 && unidentified == 0 && strangers == 0 && misordered == 0;
        }
    }

    /** How frames ended: each counts once, by the best of its ends. */
    public record Ends(long published, long results, long failures, long drops) {
        private static Ends of(List<Fate> frames) {
            long published = 0;
            long results = 0;
            long failures = 0;
            long drops = 0;
            for (Fate fate : frames) {
                published += fate.withdrawn ? 0 : 1;
                if (fate.complete()) {
                    results++;
                } else if (fate.failures > 0) {
                    failures++;
                } else if (fate.drops > 0) {
                    drops++;
                }
            }
            return new Ends(published, results, failures, drops);
        }
    }

    private static final class CameraAccount {
        final List<Fate> frames = new ArrayList<>();
        final long[] last;
        long newestMillis;
        long seenMillis;
        long silenceMillis;

        CameraAccount(int heads) {
            last = new long[heads];
            Arrays.fill(last, Long.MIN_VALUE);
        }

        @Nullable
        Fate find(long sequence) {
            return sequence < 0 || sequence >= frames.size() ? null : frames.get((int) sequence);
        }
    }

    private final List<String> heads;
    private final Map<String, CameraAccount> cameras = new HashMap<>();
    private final Map<String, Long> drops = new TreeMap<>();
    private final Latencies latencies = new Latencies();
    private long records;
    private long published;
    private long ended;
    private long unidentified;
    private long strangers;
    private long misordered;
    private long lastEndMillis;

    /** @param heads whose records make a result complete */
    public Account(Collection<String> heads) {
        this.heads = List.copyOf(new TreeSet<>(heads));
    }

    /** A frame is about to be sent: the next of its camera, whose sequences begin at 0. */
    public void published(String camera, long sequence) {
        published(camera, sequence, sequence);
    }

    /** A packet of video is about to be sent; {@code shown} grows in the order in which pictures are shown. */
    public synchronized void published(String camera, long sequence, long shown) {
        CameraAccount frames = cameras.computeIfAbsent(camera, id -> new CameraAccount(heads.size()));
        if (sequence != frames.frames.size()) {
            throw new IllegalArgumentException("sequence of camera %s: %d (expected: %d, the next)"
                    .formatted(camera, sequence, frames.frames.size()));
        }
        frames.frames.add(new Fate(heads.size(), shown));
        published++;
    }

    /** A frame's sender ended before the broker acknowledged it: it counts again if a record about it is read. */
    public synchronized void withdraw(String camera, long sequence) {
        Fate fate = find(camera, sequence);
        if (fate != null && !fate.withdrawn && fate.ends() == 0) {
            fate.withdrawn = true;
            published--;
            notifyAll();
        }
    }

    /**
     * A record of an output topic was read.
     *
     * @param appendedMillis when the broker appended it, in milliseconds since 1970
     */
    public void read(SpecificRecord record, long appendedMillis) {
        if (record instanceof SegmentationRecord labels) {
            result(labels.getHeader(), labels.getName(), appendedMillis);
        } else if (record instanceof FeatureRecord tensor) {
            result(tensor.getHeader(), tensor.getName(), appendedMillis);
        } else if (record instanceof FrameFailure failure) {
            failed(failure.getHeader(), appendedMillis);
        } else {
            dropped((FrameDropped) record, appendedMillis);
        }
    }

    private synchronized void result(RecordHeader header, String head, long appendedMillis) {
        int index = heads.indexOf(head);
        CameraAccount camera = cameras.get(header.getCameraId());
        Fate fate = camera == null ? null : camera.find(header.getSequence());
        if (index < 0 || camera == null || fate == null) {
            strangers++;
            return;
        }
        if (fate.results[index] == 0) {
            if (fate.shown < camera.last[index]) {
                misordered++;
            }
            camera.last[index] = Math.max(camera.last[index], fate.shown);
        }
        boolean before = fate.ended();
        boolean completeBefore = fate.complete();
        fate.results[index]++;
        records++;
        identify(fate, header.getSource().getOffset());
        fate.completeMillis = Math.max(fate.completeMillis, appendedMillis);
        if (fate.complete() && !completeBefore) {
            latencies.add(fate.completeMillis - header.getCaptureTimeMicros() / 1e3);
            see(camera, header.getCaptureTimeMicros() / 1000);
        }
        end(before, fate, appendedMillis);
    }

    private synchronized void failed(RecordHeader header, long appendedMillis) {
        Fate fate = find(header.getCameraId(), header.getSequence());
        if (fate == null) {
            strangers++;
            return;
        }
        boolean before = fate.ended();
        fate.failures++;
        identify(fate, header.getSource().getOffset());
        end(before, fate, appendedMillis);
    }

    /** Every frame of a camera from one sequence to another; a run that counts otherwise is wrong. */
    private synchronized void dropped(FrameDropped run, long appendedMillis) {
        RecordHeader header = run.getHeader();
        long first = header.getSequence();
        long last = run.getLastSequence();
        if (run.getCount() != last - first + 1) {
            strangers += Math.abs(run.getCount() - (last - first + 1));
        }
        drops.merge(run.getReason(), run.getCount(), Long::sum);
        for (long sequence = first; sequence <= last; sequence++) {
            Fate fate = find(header.getCameraId(), sequence);
            if (fate == null) {
                strangers++;
                continue;
            }
            boolean before = fate.ended();
            fate.drops++;
            if (sequence == first) {
                identify(fate, header.getSource().getOffset());
            } else if (sequence == last) {
                identify(fate, run.getLastOffset());
            }
            end(before, fate, appendedMillis);
        }
    }

    private @Nullable Fate find(String camera, long sequence) {
        CameraAccount frames = cameras.get(camera);
        return frames == null ? null : frames.find(sequence);
    }

    private void identify(Fate fate, long offset) {
        if (fate.offset == Fate.UNKNOWN) {
            fate.offset = offset;
        } else if (fate.offset != offset) {
            unidentified++;
        }
    }

    private void end(boolean before, Fate fate, long appendedMillis) {
        if (fate.withdrawn) {
            fate.withdrawn = false;
            published++;
        }
        if (!before && fate.ended()) {
            ended++;
            lastEndMillis = Math.max(lastEndMillis, appendedMillis);
            notifyAll();
        }
    }

    private static void see(CameraAccount camera, long captureMillis) {
        long now = System.currentTimeMillis();
        camera.silenceMillis = Math.max(camera.silenceMillis, now - camera.seenMillis);
        camera.seenMillis = now;
        camera.newestMillis = Math.max(camera.newestMillis, captureMillis);
    }

    /** From now on silences are measured anew. */
    public synchronized void listen() {
        long now = System.currentTimeMillis();
        for (CameraAccount camera : cameras.values()) {
            camera.seenMillis = now;
            camera.silenceMillis = 0;
        }
    }

    /** The longest time since {@link #listen} for which nothing new of a camera came, the worst camera's, in milliseconds. */
    public synchronized long silenceMillis() {
        return cameras.values().stream()
                .mapToLong(camera -> camera.silenceMillis)
                .max()
                .orElse(0);
    }

    /** Whether of every camera a result of a frame taken after a time, in milliseconds since 1970, has been read. */
    public synchronized boolean hasResultsSince(long millis) {
        return !cameras.isEmpty() && cameras.values().stream().allMatch(camera -> camera.newestMillis > millis);
    }

    /** Frames that have not ended. */
    public synchronized long open() {
        return published - ended;
    }

    /** Result records that were read, repeats included. */
    public synchronized long records() {
        return records;
    }

    /** Waits until no frame is open, but not for longer than given. */
    public synchronized boolean awaitSettled(long millis) throws InterruptedException {
        long end = System.nanoTime() + millis * 1_000_000;
        for (long left = millis; published > ended && left > 0; left = (end - System.nanoTime()) / 1_000_000) {
            wait(left);
        }
        return published == ended;
    }

    /** When the broker appended the record that ended a frame last, in milliseconds since 1970; 0 before the first. */
    public synchronized long lastEndMillis() {
        return lastEndMillis;
    }

    /** When the frame that ended as the n-th, in percent of all results, had its last record appended. */
    public synchronized long completedMillis(int percent) {
        long[] times = cameras.values().stream()
                .flatMap(camera -> camera.frames.stream())
                .filter(Fate::complete)
                .mapToLong(fate -> fate.completeMillis)
                .sorted()
                .toArray();
        return times.length == 0 ? 0 : times[(int) Math.min(times.length - 1L, (long) times.length * percent / 100)];
    }

    /** Milliseconds from a frame's capture time to the last of its results on the topics, at a percentile; NaN if none. */
    public synchronized double latencyMillis(double percentile) {
        return latencies.percentile(percentile);
    }

    /** Frames in drop records, repeats included, by reason. */
    public synchronized Map<String, Long> drops() {
        return Map.copyOf(drops);
    }

    /** The share of every camera's frames that have results, by camera. */
    public synchronized Map<String, Double> served() {
        Map<String, Double> served = new TreeMap<>();
        cameras.forEach((id, camera) -> served.put(
                id,
                (double) camera.frames.stream().filter(Fate::complete).count() / Math.max(1, camera.frames.size())));
        return served;
    }

    /** Whether a frame has ended; false if nobody published it. */
    public synchronized boolean ended(String camera, long sequence) {
        Fate fate = find(camera, sequence);
        return fate != null && fate.ended();
    }

    /** How the frames of every camera ended so far, by camera. */
    public synchronized Map<String, Ends> ends() {
        Map<String, Ends> ends = new TreeMap<>();
        cameras.forEach((id, camera) -> ends.put(id, Ends.of(camera.frames)));
        return ends;
    }

    /** What the account comes to now. */
    public synchronized Balance balance() {
        List<Fate> all = cameras.values().stream()
                .flatMap(camera -> camera.frames.stream())
                .toList();
        Ends ends = Ends.of(all);
        long repeated = all.stream().filter(fate -> fate.ends() > 1).count();
        return new Balance(
                published,
                ends.results,
                ends.failures,
                ends.drops,
                published - ended,
                repeated,
                unidentified,
                strangers,
                misordered);
    }
}
