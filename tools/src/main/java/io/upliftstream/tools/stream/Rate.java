package io.upliftstream.tools.stream;

import java.util.ArrayDeque;
import java.util.Deque;

/** How fast a count grows, over the last ten seconds. */
public final class Rate {
    private static final long WINDOW_NANOS = 10_000_000_000L;

    private record Sample(long nanos, long total) {}

    private final Deque<Sample> window = new ArrayDeque<>();

    /** Takes the count as it is now; one that is lower than before has begun anew. */
    public double perSecond(long total) {
        long now = System.nanoTime();
        if (!window.isEmpty() && total < window.getLast().total()) {
            window.clear();
        }
        window.addLast(new Sample(now, total));
        while (window.size() > 2 && now - window.getFirst().nanos() > WINDOW_NANOS) {
            window.removeFirst();
        }
        Sample first = window.getFirst();
        return now == first.nanos() ? 0 : (total - first.total()) / ((now - first.nanos()) / 1e9);
    }
}
