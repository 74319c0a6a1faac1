package io.upliftstream.job;

import io.upliftstream.model.FrameException;
import java.util.Locale;

/** Says where and why a frame failed, in the words of a failure record; docs/troubleshooting.md lists the reasons. */
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

    /** Messages quote what was found, and that may be long, or more than a line. */
    static final int MAX_MESSAGE = 2000;

    /** Why the job itself has no result; the model's own reasons are {@link FrameException.Reason}. */
    enum Reason {
        EMPTY_VALUE,
        VALUE_TOO_LARGE,
        NOT_A_FRAME,
        MALFORMED_RECORD,
        NO_SCHEMA,
        MISSING_CAMERA_ID,
        QUARANTINED,
        NO_PICTURE,
        NOT_ENCODABLE,
        RESULT_TOO_LARGE
    }

    private final Stage stage;
    private final String reason;

    FrameProblem(Stage stage, Reason reason, String message) {
        super(BoundedText.oneLine(BoundedText.start(message, MAX_MESSAGE)));
        this.stage = stage;
        this.reason = reason.name();
    }

    /** The problem of a frame that {@link Quarantine} holds back. */
    static FrameProblem quarantined() {
        return new FrameProblem(
                Stage.INFERENCE,
                Reason.QUARANTINED,
                "frame: the process ended each time it worked on this frame alone (expected: an outcome)");
    }

    private FrameProblem(Stage stage, FrameException.Reason reason, Throwable cause) {
        super(
                BoundedText.start(cause.getMessage() == null ? cause.toString() : cause.getMessage(), MAX_MESSAGE),
                cause);
        this.stage = stage;
        this.reason = reason.name();
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
     * @throws ClaimCheck.Unavailable if it is that, likewise
     */
    static FrameProblem of(Throwable failure) {
        if (failure instanceof Error error) {
            throw error;
        } else if (failure instanceof ClaimCheck.Unavailable store) {
            throw store;
        } else if (failure instanceof FrameProblem problem) {
            return problem;
        } else if (failure instanceof FrameException frame) {
            Stage stage =
                    switch (frame.reason()) {
                        case EMPTY,
                                NOT_AN_IMAGE,
                                CORRUPT_IMAGE,
                                UNSUPPORTED_IMAGE,
                                CORRUPT_PACKET,
                                TOO_LARGE,
                                DECODER_TIMEOUT -> Stage.DECODE;
                        case MODEL_FAILED, NON_FINITE_OUTPUT, TIMEOUT, OUT_OF_MEMORY, DEADLINE -> Stage.INFERENCE;
                    };
            return new FrameProblem(stage, frame.reason(), failure);
        }
        return new FrameProblem(Stage.INFERENCE, FrameException.Reason.MODEL_FAILED, failure);
    }
}
