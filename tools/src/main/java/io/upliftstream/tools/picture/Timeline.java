package io.upliftstream.tools.picture;

import org.jspecify.annotations.Nullable;

/**
 * Times that go on. A picture is as far after the one before as their times say; where they say nothing, are equal, go
 * back, or leap ahead, it is one step after.
 */
public final class Timeline {
    /** Frames per second where nobody says it. */
    private static final double RECORDS_PER_SECOND = 10;
    /** The longest time between two records of a camera that is at work. */
    private static final double LONGEST_LEARNED_SECONDS = 1;

    private static final double MICROS = 1e6;

    private final long maxGap;
    private final boolean learns;
    private long step;
    private long position = -1;
    private @Nullable Long before;
    private long continued;

    private Timeline(double framesPerSecond, double maxGapSeconds, boolean learns) {
        this.step = Math.max(1, Math.round(MICROS / framesPerSecond));
        this.maxGap = Math.max(Math.round(MICROS * maxGapSeconds), 10 * step);
        this.learns = learns;
    }

    /** Of a stream with a rate: more than ten seconds, or ten frames if they are longer, are a leap. */
    public static Timeline of(double framesPerSecond) {
        return new Timeline(framesPerSecond, 10, false);
    }

    /** Of records, whose step is that of those before: more than an hour is a leap. */
    public static Timeline ofRecords() {
        return new Timeline(RECORDS_PER_SECOND, 3600, true);
    }

    /**
     * The position of the next picture.
     *
     * @param micros its time by any clock; null if there is none
     * @return microseconds after the first picture, more than that of the picture before
     */
    public long next(@Nullable Long micros) {
        if (position < 0) {
            position = 0;
            before = micros;
            continued += micros == null ? 1 : 0;
            return position;
        }
        long gap = micros == null || before == null ? 0 : micros - before;
        boolean overflow = micros != null && before != null && (micros > before) != (gap > 0);
        if (gap > 0 && gap <= maxGap && !overflow) {
            step = learns && gap <= LONGEST_LEARNED_SECONDS * MICROS ? gap : step;
            position += gap;
            before = micros;
        } else {
            continued++;
            position += step;
            before = micros != null ? micros : before == null ? null : Long.valueOf(before + step);
        }
        return position;
    }

    /** How many pictures had no time that goes on. */
    public long continued() {
        return continued;
    }
}
