package io.upliftstream.tools.traffic;

import java.util.Arrays;

/** How one frame of an {@link Account} ended. */
final class Fate {
    static final long UNKNOWN = -1;

    final int[] results;
    int failures;
    int drops;
    long offset = UNKNOWN;
    long completeMillis;
    final long shown;
    /** Whether it may never have come to the broker, and nothing of it was read. */
    boolean withdrawn;

    Fate(int heads, long shown) {
        results = new int[heads];
        this.shown = shown;
    }

    boolean complete() {
        for (int count : results) {
            if (count == 0) {
                return false;
            }
        }
        return true;
    }

    boolean ended() {
        return complete() || failures > 0 || drops > 0;
    }

    int ends() {
        return Arrays.stream(results).max().orElse(0) + failures + drops;
    }
}
