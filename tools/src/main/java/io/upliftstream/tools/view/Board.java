package io.upliftstream.tools.view;

import io.upliftstream.schemas.RecordHeader;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Comparator;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;

/**
 * The last moments of every camera. Browsers come for what is newer than what they have: a slow one skips moments, a
 * dead one costs nothing, and none can hold back the feed.
 */
final class Board {
    /** Moments that stay, so that a link to a frame works for a while without a search. */
    private static final int KEPT = 64;

    /** Cameras that are shown: whoever writes to the topics may invent one for every frame. */
    static final int MAX_CAMERAS = 100;

    private final long maxBytes;
    private final Map<String, Moment> latest = new TreeMap<>();
    private final Deque<Moment> kept = new ArrayDeque<>();
    private long number;

    /**
     * Begins without moments.
     *
     * @param maxBytes that moments may take together; the newest stays whatever it takes
     * @param number below those of the moments; above those of another board that browsers may still have
     */
    Board(long maxBytes, long number) {
        this.maxBytes = maxBytes;
        this.number = number;
    }

    /** @param bytes that the records took on their topics */
    synchronized void show(RecordHeader header, List<SpecificRecord> records, long bytes) {
        Moment moment = new Moment(++number, header, records, bytes);
        latest.put(moment.camera(), moment);
        if (latest.size() > MAX_CAMERAS) {
            latest.remove(Collections.min(latest.values(), Comparator.comparingLong(Moment::number))
                    .camera());
        }
        kept.addLast(moment);
        makeRoom();
        notifyAll();
    }

    /** The oldest go, then the cameras that take the most, but not the newest. */
    private void makeRoom() {
        while (kept.size() > KEPT || (kept.size() > 1 && bytes() > maxBytes)) {
            kept.removeFirst();
        }
        while (latest.size() > 1 && bytes() > maxBytes) {
            latest.values().stream()
                    .filter(moment -> moment.number() < number)
                    .max(Comparator.comparingLong(Moment::bytes)
                            .thenComparing(
                                    Comparator.comparingLong(Moment::number).reversed()))
                    .ifPresent(largest -> latest.remove(largest.camera()));
        }
    }

    private long bytes() {
        Set<Moment> all = Collections.newSetFromMap(new IdentityHashMap<>());
        all.addAll(kept);
        all.addAll(latest.values());
        return all.stream().mapToLong(Moment::bytes).sum();
    }

    /**
     * The latest moment of every camera that has one newer than a number, the oldest first.
     *
     * @param cameras only these; empty for all
     */
    synchronized List<Moment> after(long seen, Set<String> cameras) {
        return latest.values().stream()
                .filter(moment -> moment.number() > seen)
                .filter(moment -> cameras.isEmpty() || cameras.contains(moment.camera()))
                .sorted(Comparator.comparingLong(Moment::number))
                .toList();
    }

    /** Waits until there is a moment newer than a number, or until patience ends. */
    synchronized void await(long seen, Set<String> cameras, Duration patience) throws InterruptedException {
        long end = System.nanoTime() + patience.toNanos();
        long left = patience.toMillis();
        while (left > 0 && after(seen, cameras).isEmpty()) {
            wait(left);
            left = (end - System.nanoTime()) / 1_000_000;
        }
    }

    synchronized Optional<Moment> find(int partition, long offset) {
        return Stream.concat(kept.stream(), latest.values().stream())
                .filter(moment -> moment.source().getPartition() == partition
                        && moment.source().getOffset() == offset)
                .findFirst();
    }

    /** Number of the newest moment. */
    synchronized long number() {
        return number;
    }
}
