package io.upliftstream.tools.stream;

import java.io.PrintStream;
import java.util.function.Supplier;

/** One line that says how things go: rewritten in place on a terminal, else printed every ten seconds. */
public final class StatusLine {
    private static final long TERMINAL_NANOS = 200_000_000L;
    private static final long PLAIN_NANOS = 10_000_000_000L;

    private final PrintStream out;
    private final boolean terminal;
    private long lastShown = System.nanoTime();
    private int shownLength;

    /** @param terminal whether out is one that people watch */
    public StatusLine(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    /** A line of its own, such as a stage that begins. */
    public void say(String message) {
        if (shownLength > 0) {
            out.print("\r" + " ".repeat(shownLength) + "\r");
            shownLength = 0;
        }
        out.println(message);
        out.flush();
    }

    /** Shows how things go, if it is time. */
    public void update(Supplier<String> status) {
        long now = System.nanoTime();
        if (now - lastShown < (terminal ? TERMINAL_NANOS : PLAIN_NANOS)) {
            return;
        }
        lastShown = now;
        String line = status.get();
        if (terminal) {
            out.print("\r" + line + " ".repeat(Math.max(0, shownLength - line.length())));
            shownLength = line.length();
        } else {
            out.println(line);
        }
        out.flush();
    }
}
