package io.upliftstream.tools.demo;

import io.upliftstream.tools.stream.Rate;
import io.upliftstream.tools.stream.StatusLine;
import io.upliftstream.tools.traffic.Account;
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

    /** Shows how the frames ended so far, if it is time and one has. */
    void update(Account account, InFlight inFlight) {
        if (inFlight.lastEndNanos() != 0) {
            status.update(() -> line(account.ends(), inFlight));
        }
    }

    private String line(Map<String, Account.Ends> cameras, InFlight inFlight) {
        return String.format(
                Locale.ROOT,
                "%5.1f frames/s | latency p50 %.1f p95 %.1f p99 %.1f s | %s",
                rate.perSecond(cameras.values().stream()
                        .mapToLong(Account.Ends::results)
                        .sum()),
                inFlight.latencyMillis(50) / 1e3,
                inFlight.latencyMillis(95) / 1e3,
                inFlight.latencyMillis(99) / 1e3,
                cameras.entrySet().stream().map(Progress::describe).collect(Collectors.joining(" · ")));
    }

    private static String describe(Map.Entry<String, Account.Ends> camera) {
        Account.Ends ends = camera.getValue();
        return "%s %d/%d dropped %d failed %d"
                .formatted(
                        camera.getKey().replaceAll("\\p{Cntrl}", "?"),
                        ends.results(),
                        ends.published(),
                        ends.drops(),
                        ends.failures());
    }
}
