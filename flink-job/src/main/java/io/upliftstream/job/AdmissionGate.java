package io.upliftstream.job;

import io.upliftstream.job.JobSettings.AgeFrom;
import io.upliftstream.job.JobSettings.Mode;
import java.time.Clock;
import java.time.Duration;

/** Decides whether a frame goes to the model: in lossless mode every one, in live mode those that are young enough. */
final class AdmissionGate {
    private final Mode mode;
    private final long maxAgeMillis;
    private final AgeFrom ageFrom;
    private final Clock clock;

    AdmissionGate(Mode mode, Duration maxAge, AgeFrom ageFrom, Clock clock) {
        this.mode = mode;
        this.maxAgeMillis = maxAge.toMillis();
        this.ageFrom = ageFrom;
        this.clock = clock;
    }

    /** @param ageMillis what {@link #ageMillis} says of the frame */
    boolean admits(long ageMillis) {
        return mode == Mode.LOSSLESS || ageMillis <= maxAgeMillis;
    }

    /** Milliseconds since the frame was recorded or captured; below 0 if that clock is ahead of this one. */
    long ageMillis(Frame frame) {
        return clock.millis()
                - switch (ageFrom) {
                    case RECORD -> frame.source().timestampMillis();
                    case CAPTURE -> Math.floorDiv(frame.captureTimeMicros(), 1000L);
                };
    }
}
