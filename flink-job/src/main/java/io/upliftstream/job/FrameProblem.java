package io.upliftstream.job;

import io.upliftstream.model.FrameException;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeoutException;

/** A frame has no result; says where it failed and why, in the words of a failure record. */
final class FrameProblem extends Exception {
    /** The step that failed. */
    enum Stage {
        PARSE,
        DECODE,
        INFERENCE,
        ENCODE,
        PUBLISH;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private final Stage stage;
    private final String reason;

    /** @param reason one upper-case name */
    FrameProblem(Stage stage, String reason, String message) {
        super(message);
        this.stage = stage;
        this.reason = reason;
    }

    private FrameProblem(Stage stage, String reason, Throwable cause) {
        super(cause.getMessage() == null ? cause.toString() : cause.getMessage(), cause);
        this.stage = stage;
        this.reason = reason;
    }

    Stage stage() {
        return stage;
    }

    String reason() {
        return reason;
    }

    /**
     * What a failed frame's exception means.
     *
     * @param timeout that was set for the frame
     * @throws Error if it is one: then not the frame is at fault but the process, and the job has to fail
     */
    static FrameProblem of(Throwable failure, Duration timeout) {
        if (failure instanceof CompletionException && failure.getCause() != null) {
            return of(failure.getCause(), timeout);
        } else if (failure instanceof Error error) {
            throw error;
        } else if (failure instanceof FrameProblem problem) {
            return problem;
        } else if (failure instanceof FrameException frame) {
            Stage stage =
                    switch (frame.reason()) {
                        case EMPTY, NOT_AN_IMAGE, CORRUPT_IMAGE, TOO_LARGE -> Stage.DECODE;
                        case MODEL_FAILED, NON_FINITE_OUTPUT, TIMEOUT -> Stage.INFERENCE;
                    };
            return new FrameProblem(stage, frame.reason().name(), failure);
        } else if (failure instanceof TimeoutException) {
            return new FrameProblem(
                    Stage.INFERENCE,
                    FrameException.Reason.TIMEOUT.name(),
                    "inference: no answer after %d ms (expected: one within %s)"
                            .formatted(timeout.toMillis(), JobSettings.MODEL_TIMEOUT.key()));
        }
        return new FrameProblem(Stage.INFERENCE, FrameException.Reason.MODEL_FAILED.name(), failure);
    }
}
