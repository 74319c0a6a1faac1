package io.upliftstream.job;

import io.upliftstream.job.ServingOptions.AgeFrom;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.StageTimings;
import java.time.Clock;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Decides whether a frame goes to the model: in lossless mode every one, in live mode those that are young enough. */
final class AdmissionGate {
    private static final Logger LOG = LoggerFactory.getLogger(AdmissionGate.class);

    private static final long CLOCK_TOLERANCE_MILLIS = 1000;

    /** Most cameras that the log names because of their clocks. */
    private static final int MAX_NAMED = 100;

    /** The factor by which the longest wait that is remembered shrinks with each frame that waited less. */
    private static final double DECAY = 0.95;

    private final Mode mode;
    private final long maxAgeMillis;
    private final AgeFrom ageFrom;
    private final Clock clock;
    private final Set<String> camerasAheadOfClock = new HashSet<>();
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
     *
     * @param idle whether the model has no frame: a wait that keeps one from it is forgotten then, or none might come again
     */
    boolean admits(Frame frame, boolean idle) {
        long age = ageMillis(frame);
        boolean admitted = mode == Mode.LOSSLESS || age + waitMillis <= maxAgeMillis;
        if (!admitted && idle && age <= maxAgeMillis) {
            waitMillis *= DECAY;
        }
        return admitted;
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

    /** Whether a frame comes from the future: the clock that its age is counted from is ahead; the log names its camera once. */
    boolean isAheadOfClock(Frame frame, long ageMillis) {
        if (ageMillis >= -CLOCK_TOLERANCE_MILLIS) {
            return false;
        }
        if (camerasAheadOfClock.size() < MAX_NAMED && camerasAheadOfClock.add(frame.cameraId())) {
            LOG.warn(
                    "camera {}: {} time is {} ms ahead of this machine's clock (expected: clocks that agree);"
                            + " ages of its frames are too low{}",
                    BoundedText.oneLine(frame.cameraId()),
                    ageFrom,
                    -ageMillis,
                    camerasAheadOfClock.size() < MAX_NAMED ? "" : "; further cameras are counted, not named");
        }
        return true;
    }

    long maxAgeMillis() {
        return maxAgeMillis;
    }
}
