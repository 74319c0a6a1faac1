package io.upliftstream.tools.demo;

import io.upliftstream.tools.stream.StatusLine;
import java.io.PrintStream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** Says how the run goes. */
public final class Progress {
    /** Frames per second are those of so many nanoseconds. */
    private static final long WINDOW_NANOS = 10_000_000_000L;

    private record Sample(long nanos, long results) {}

    private final StatusLine status;
    private final Deque<Sample> window = new ArrayDeque<>();

    /** @param terminal whether out is one that people watch */
    public Progress(PrintStream out, boolean terminal) {
        status = new StatusLine(out, terminal);
    }

    /** A line of its own, such as a stage that begins. */
    public void say(String message) {
        status.say(message);
    }

    /** Shows the accounts, if it is time. */
    void update(Ledger ledger) {
        status.update(() -> line(ledger, System.nanoTime()));
    }

    private String line(Ledger ledger, long now) {
        long results = ledger.total().results();
        window.addLast(new Sample(now, results));
        while (window.size() > 2 && now - window.getFirst().nanos() > WINDOW_NANOS) {
            window.removeFirst();
        }
        Sample first = window.getFirst();
        double rate = now == first.nanos() ? 0 : (results - first.results()) / ((now - first.nanos()) / 1e9);
        String cameras =
                ledger.accounts().entrySet().stream().map(Progress::describe).collect(Collectors.joining(" · "));
        return String.format(
                Locale.ROOT,
                "%5.1f frames/s | latency p50 %.1f p95 %.1f p99 %.1f s | %s",
                rate,
                ledger.latencyMillis(50) / 1e3,
                ledger.latencyMillis(95) / 1e3,
                ledger.latencyMillis(99) / 1e3,
                cameras);
    }

    private static String describe(Map.Entry<String, Ledger.Account> camera) {
        Ledger.Account account = camera.getValue();
        return "%s %d/%d dropped %d failed %d"
                .formatted(
                        camera.getKey(), account.results(), account.published(), account.dropped(), account.failed());
    }
}
