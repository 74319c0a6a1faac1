package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.StageTimings;
import java.util.List;

/** How a frame ends: every frame has exactly one outcome, and every outcome its records. */
sealed interface FrameOutcome {
    /** The records to send, in this order. */
    List<OutputMessage> messages();

    /** One record for every head that is written. */
    record Result(List<OutputMessage> messages, Frame frame, StageTimings timings, long encodeNanos)
            implements FrameOutcome {}

    /** No result, and a record that says why. */
    record Failure(OutputMessage message) implements FrameOutcome {
        @Override
        public List<OutputMessage> messages() {
            return List.of(message);
        }
    }

    /** Frames of one camera that were let go. */
    record Dropped(OutputMessage message, Run run) implements FrameOutcome {
        @Override
        public List<OutputMessage> messages() {
            return List.of(message);
        }
    }
}
