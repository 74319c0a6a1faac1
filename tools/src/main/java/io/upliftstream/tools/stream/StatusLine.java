package io.upliftstream.tools.stream;

import java.io.PrintStream;
import java.util.function.Supplier;

/** One line that says how things go: rewritten in place on a terminal, else printed every ten seconds. */
public final class StatusLine {
    private static final long TERMINAL_NANOS = 200_000_000L;
    private static final long PLAIN_NANOS = 10_000_000_000L;

    private final PrintStream out;
    private final int columns;
    private long lastShown = System.nanoTime();
    private int shownLength;

    /** @param columns of the terminal that out is; 0 if it is none */
    public StatusLine(PrintStream out, int columns) {
        this.out = out;
        this.columns = columns;
    }

    /** Columns of the terminal that this process was started from; 0 if there is none. */
    public static int columns() {
        return Integer.getInteger("uplift.columns", 0);
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
        if (now - lastShown < (columns > 0 ? TERMINAL_NANOS : PLAIN_NANOS)) {
            return;
        }
        lastShown = now;
        String line = status.get();
        if (columns > 0) {
            if (line.length() >= columns) { // a line that wraps cannot be rewritten
                line = line.substring(0, Math.max(0, columns - 2)) + "…";
            }
            out.print("\r" + line + " ".repeat(Math.max(0, shownLength - line.length())));
            shownLength = line.length();
        } else {
            out.println(line);
        }
        out.flush();
    }
}
