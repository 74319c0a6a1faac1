package io.upliftstream.job;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Frames that were let go, one run for every camera, until somebody asks for its account. */
final class DropRuns {
    /**
     * Consecutive frames of one camera.
     *
     * @param maxAgeMillis greatest age in the run
     */
    record Run(Frame first, Frame last, long count, long maxAgeMillis) {}

    private final Map<String, Run> open = new LinkedHashMap<>();

    /** Adds a frame to its camera's run. */
    void add(Frame frame, long ageMillis) {
        Frame dropped = withoutImage(frame);
        open.merge(
                frame.cameraId(),
                new Run(dropped, dropped, 1, ageMillis),
                (run, one) ->
                        new Run(run.first, one.last, run.count + 1, Math.max(run.maxAgeMillis, one.maxAgeMillis)));
    }

    /** Ends the camera's run, if it has one. */
    Optional<Run> end(String cameraId) {
        return Optional.ofNullable(open.remove(cameraId));
    }

    /** Ends all runs. */
    List<Run> endAll() {
        List<Run> runs = new ArrayList<>(open.values());
        open.clear();
        return runs;
    }

    /** Runs stay open for seconds, and nobody asks for the pixels of a dropped frame again. */
    private static Frame withoutImage(Frame frame) {
        RawFrame source = frame.source();
        return new Frame(
                frame.cameraId(),
                frame.sequence(),
                frame.captureTimeMicros(),
                frame.captureClock(),
                new byte[0],
                frame.trace(),
                new RawFrame(
                        source.topic(),
                        source.partition(),
                        source.offset(),
                        source.timestampMillis(),
                        source.key(),
                        null,
                        source.trace()));
    }
}
