package io.upliftstream.job;

import io.upliftstream.model.FrameException;
import java.util.Locale;

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

    /** Messages quote what was found, and that may be long. */
    static final int MAX_MESSAGE = 2000;

    private final Stage stage;
    private final String reason;

    /** @param reason one upper-case name */
    FrameProblem(Stage stage, String reason, String message) {
        super(BoundedText.start(message, MAX_MESSAGE));
        this.stage = stage;
        this.reason = reason;
    }

    /** The problem of a frame that {@link Quarantine} holds back. */
    static FrameProblem quarantined() {
        return new FrameProblem(
                Stage.INFERENCE,
                "QUARANTINED",
                "frame: the process ended each time it worked on this frame alone (expected: an outcome)");
    }

    private FrameProblem(Stage stage, String reason, Throwable cause) {
        super(
                BoundedText.start(cause.getMessage() == null ? cause.toString() : cause.getMessage(), MAX_MESSAGE),
                cause);
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
     * @throws Error if it is one: then not the frame is at fault but the process, and the job has to fail
     */
    static FrameProblem of(Throwable failure) {
        if (failure instanceof Error error) {
            throw error;
        } else if (failure instanceof FrameProblem problem) {
            return problem;
        } else if (failure instanceof FrameException frame) {
            Stage stage =
                    switch (frame.reason()) {
                        case EMPTY, NOT_AN_IMAGE, CORRUPT_IMAGE, TOO_LARGE, DECODER_TIMEOUT -> Stage.DECODE;
                        case MODEL_FAILED, NON_FINITE_OUTPUT, TIMEOUT, OUT_OF_MEMORY, DEADLINE -> Stage.INFERENCE;
                    };
            return new FrameProblem(stage, frame.reason().name(), failure);
        }
        return new FrameProblem(Stage.INFERENCE, FrameException.Reason.MODEL_FAILED.name(), failure);
    }
}
