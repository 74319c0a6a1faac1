package io.upliftstream.job;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Frames that were let go, one run for every camera, until somebody asks for its account. */
final class DropRuns {
    /** Why a frame was let go; the names are what drop records say. */
    enum Reason {
        /** The frame was older than max-age when its turn came, or about to be before the model could take it. */
        MAX_AGE,
        /** The frame was older than max-age when the batch was formed that it should have been in. */
        DEADLINE,
        /** A newer frame of its camera came, and only the latest was asked for. */
        SUPERSEDED,
        /** The frames waiting took too much memory, and its camera had the most of it. */
        QUEUE_FULL,
        /** The frame was still waiting when a checkpoint had held all frames up for half of max-age. */
        CHECKPOINT,
        /** A packet of a video that cannot be decoded: no key frame came before it, or something is missing since. */
        NO_KEY_FRAME,
        /** The claim check did not take the frame's results within max-age. */
        CLAIM_CHECK
    }

    /**
     * Frames of one camera in one partition, let go for one reason, whose sequences follow each other without a gap: so no
     * run covers a frame that ended in another way.
     *
     * @param maxAgeMillis greatest age in the run
     */
    record Run(Reason reason, Frame first, Frame last, long count, long maxAgeMillis) {
        static Run of(Reason reason, Frame frame, long ageMillis) {
            Frame dropped = frame.withoutImage(); // runs stay open for seconds
            return new Run(reason, dropped, dropped, 1, ageMillis);
        }

        private boolean continuedBy(Run next) {
            return reason == next.reason
                    && last.sequence() + 1 == next.first.sequence()
                    && last.source().partition() == next.first.source().partition()
                    && last.source().topic().equals(next.first.source().topic());
        }

        private Run and(Run next) {
            return new Run(reason, first, next.last, count + next.count, Math.max(maxAgeMillis, next.maxAgeMillis));
        }
    }

    private final Map<String, Run> open = new LinkedHashMap<>();

    /**
     * Adds a frame to its camera's run.
     *
     * @return the camera's run so far if the frame cannot be part of it; the frame then begins another
     */
    Optional<Run> add(Reason reason, Frame frame, long ageMillis) {
        Run one = Run.of(reason, frame, ageMillis);
        Run before = open.get(frame.cameraId());
        if (before != null && before.continuedBy(one)) {
            open.put(frame.cameraId(), before.and(one));
            return Optional.empty();
        }
        open.put(frame.cameraId(), one);
        return Optional.ofNullable(before);
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

    /** Cameras with a run. */
    int size() {
        return open.size();
    }
}
