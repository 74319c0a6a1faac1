package io.upliftstream.tools.demo;

import java.io.PrintStream;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** One line that says how the run goes: rewritten in place on a terminal, else printed every few seconds. */
public final class Progress {
    private static final long TERMINAL_NANOS = 200_000_000L;
    private static final long PLAIN_NANOS = 5_000_000_000L;
    /** Frames per second are those of so many nanoseconds. */
    private static final long WINDOW_NANOS = 10_000_000_000L;

    private record Sample(long nanos, long results) {}

    private final PrintStream out;
    private final boolean terminal;
    private final Deque<Sample> window = new ArrayDeque<>();
    private long lastShown = System.nanoTime();
    private int shownLength;

    /** @param terminal whether out is one that people watch */
    public Progress(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    /** A line of its own, such as a stage that begins. */
    public void say(String message) {
        clear();
        out.println(message);
        out.flush();
    }

    /** Shows the accounts, if it is time. */
    void update(Ledger ledger) {
        long now = System.nanoTime();
        if (now - lastShown < (terminal ? TERMINAL_NANOS : PLAIN_NANOS)) {
            return;
        }
        lastShown = now;
        String line = line(ledger, now);
        if (terminal) {
            out.print("\r" + line + " ".repeat(Math.max(0, shownLength - line.length())));
            shownLength = line.length();
        } else {
            out.println(line);
        }
        out.flush();
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

    private void clear() {
        if (shownLength > 0) {
            out.print("\r" + " ".repeat(shownLength) + "\r");
            shownLength = 0;
        }
    }
}
