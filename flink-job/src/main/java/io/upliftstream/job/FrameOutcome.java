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
     * @param frame null if the source could not be read so far
     */
    record Failure(OutputMessage message, RawFrame source, @Nullable Frame frame, FrameProblem problem)
            implements FrameOutcome {
        @Override
        public List<OutputMessage> messages() {
            return List.of(message);
        }

        /** For the log: the names are those of the failure record. */
        @Override
        public String toString() {
            TraceContext trace = frame == null ? source.trace() : frame.trace();
            return "cameraId=%s sequence=%s topic=%s partition=%d offset=%d traceparent=%s stage=%s reason=%s: %s"
                    .formatted(
                            frame == null ? FrameParser.text(source.key()) : frame.cameraId(),
                            frame == null ? null : frame.sequence(),
                            source.topic(),
                            source.partition(),
                            source.offset(),
                            trace.traceparent(),
                            problem.stage(),
                            problem.reason(),
                            problem.getMessage())
                    .replaceAll("\\p{Cntrl}", " "); // one line, whatever a camera is called
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
