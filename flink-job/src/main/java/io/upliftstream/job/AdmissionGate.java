package io.upliftstream.job;

import io.upliftstream.job.ServingOptions.AgeFrom;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.StageTimings;
import java.time.Clock;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Decides whether a frame goes to the model: in lossless mode every one, in live mode those that are young enough. */
final class AdmissionGate {
    /** The factor by which the longest wait that is remembered shrinks with each frame that waited less. */
    private static final double DECAY = 0.95;

    private final Mode mode;
    private final long maxAgeMillis;
    private final AgeFrom ageFrom;
    private final Clock clock;
    private double waitMillis;

    AdmissionGate(Mode mode, Duration maxAge, AgeFrom ageFrom, Clock clock) {
        this.mode = mode;
        this.maxAgeMillis = maxAge.toMillis();
        this.ageFrom = ageFrom;
        this.clock = clock;
    }

    /**
     * Whether a frame whose turn it is can still be young when the model takes it: it has to be decoded and to wait for the
     * frames before it first, and a frame that expires there was decoded in vain.
     */
    boolean admits(Frame frame) {
        return mode == Mode.LOSSLESS || ageMillis(frame) + waitMillis <= maxAgeMillis;
    }

    /** Whether a frame is young enough now; for any thread. */
    boolean inTime(Frame frame) {
        return mode == Mode.LOSSLESS || ageMillis(frame) <= maxAgeMillis;
    }

    /** Learns how long a frame took from its turn to the model. Half of max-age at most counts, or none would pass. */
    void waited(StageTimings timings) {
        double millis = TimeUnit.NANOSECONDS.toMicros(timings.decodeNanos() + timings.queueNanos()) / 1000.0;
        waitMillis = Math.min(maxAgeMillis / 2.0, Math.max(millis, DECAY * waitMillis));
    }

    /** Milliseconds since the frame was recorded or captured; below 0 if that clock is ahead of this one. */
    long ageMillis(Frame frame) {
        return clock.millis()
                - switch (ageFrom) {
                    case RECORD -> frame.source().timestampMillis();
                    case CAPTURE -> Math.floorDiv(frame.captureTimeMicros(), 1000L);
                };
    }

    long maxAgeMillis() {
        return maxAgeMillis;
    }
}
