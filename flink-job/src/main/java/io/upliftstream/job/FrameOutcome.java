package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.StageTimings;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** How a frame ends: every frame has exactly one outcome, and every outcome its records. */
sealed interface FrameOutcome {
    /** The records to send, in this order. */
    List<OutputMessage> messages();

    /**
     * One record for every head that is written.
     *
     * @param encodedAtNanos when that was done, as {@link System#nanoTime()} has it
     */
    record Result(
            List<OutputMessage> messages, Frame frame, StageTimings timings, long encodeNanos, long encodedAtNanos)
            implements FrameOutcome {}

    /**
     * No result, and a record that says why.
     *
     * @param messages one, or none where not even the shortest fits its topic
     * @param frame null if the source could not be read so far
     */
    record Failure(List<OutputMessage> messages, RawFrame source, @Nullable Frame frame, FrameProblem problem)
            implements FrameOutcome {
        /** For the log: the names are those of the failure record. */
        @Override
        public String toString() {
            TraceContext trace = frame == null ? source.trace() : frame.trace();
            return BoundedText.oneLine(
                    "cameraId=%s sequence=%s topic=%s partition=%d offset=%d traceparent=%s stage=%s reason=%s: %s"
                            .formatted(
                                    frame == null ? BoundedText.decode(source.key()) : frame.cameraId(),
                                    frame == null ? null : frame.sequence(),
                                    source.topic(),
                                    source.partition(),
                                    source.offset(),
                                    trace.traceparent(),
                                    problem.stage(),
                                    problem.reason(),
                                    problem.getMessage()));
        }
    }

    /**
     * Frames of one camera that were let go.
     *
     * @param messages one, or none where not even the shortest fits its topic
     */
    record Dropped(List<OutputMessage> messages, Run run) implements FrameOutcome {
        /** For the log. */
        @Override
        public String toString() {
            return BoundedText.oneLine("cameraId=%s sequence=%d lastSequence=%d reason=%s: dropped"
                    .formatted(
                            run.first().cameraId(),
                            run.first().sequence(),
                            run.last().sequence(),
                            run.reason()));
        }
    }
}
