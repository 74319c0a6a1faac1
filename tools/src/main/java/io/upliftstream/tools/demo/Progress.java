package io.upliftstream.tools.demo;

import io.upliftstream.tools.stream.Rate;
import io.upliftstream.tools.stream.StatusLine;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** Says how the run goes. */
public final class Progress {
    private final StatusLine status;
    private final Rate rate = new Rate();

    /** @param columns of the terminal that out is; 0 if it is none */
    public Progress(PrintStream out, int columns) {
        status = new StatusLine(out, columns);
    }

    /** A line of its own, such as a stage that begins. */
    public void say(String message) {
        status.say(message);
    }

    /** Shows the accounts, if it is time. */
    void update(Ledger ledger) {
        status.update(() -> line(ledger));
    }

    private String line(Ledger ledger) {
        String cameras =
                ledger.accounts().entrySet().stream().map(Progress::describe).collect(Collectors.joining(" · "));
        return String.format(
                Locale.ROOT,
                "%5.1f frames/s | latency p50 %.1f p95 %.1f p99 %.1f s | %s",
                rate.perSecond(ledger.total().results()),
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
