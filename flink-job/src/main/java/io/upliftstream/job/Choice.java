package io.upliftstream.job;

import io.upliftstream.job.VideoOptions.Selection;

/** Which pictures of one video go to the model. Asked in the order in which they are shown, by one thread at a time. */
final class Choice {
    private static final double MICROS = 1e6;

    private final Selection selection;
    private final int everyN;
    private final long periodMicros;
    private long shown;
    private long nextMicros = Long.MIN_VALUE;

    Choice(JobSettings settings) {
        selection = settings.get(VideoOptions.FRAMES);
        everyN = settings.get(VideoOptions.EVERY_N);
        periodMicros = Math.round(MICROS / settings.get(VideoOptions.PER_SECOND));
    }

    void restore(long shownSoFar, long from) {
        shown = shownSoFar;
        nextMicros = from;
    }

    long shown() {
        return shown;
    }

    long nextMicros() {
        return nextMicros;
    }

    boolean keyFramesAlone() {
        return selection == Selection.KEY_FRAMES;
    }

    /** Whether a picture is chosen. A clock that jumps back begins anew. */
    boolean test(Frame picture) {
        long micros = picture.captureTimeMicros();
        return switch (selection) {
            case ALL, KEY_FRAMES -> true;
            case EVERY_N -> shown++ % everyN == 0;
            case PER_SECOND -> {
                boolean due = micros >= nextMicros || micros < nextMicros - 2 * periodMicros;
                if (due) {
                    // From the time that was due, so that a frame rate which is no multiple does not lower the rate.
                    boolean steady =
                            nextMicros != Long.MIN_VALUE && micros - nextMicros < periodMicros && micros >= nextMicros;
                    nextMicros = (steady ? nextMicros : micros) + periodMicros;
                }
                yield due;
            }
        };
    }
}
