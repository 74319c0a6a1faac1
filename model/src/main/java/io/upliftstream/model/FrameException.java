package io.upliftstream.model;

import org.jspecify.annotations.Nullable;

/** One frame that gives no result; the frames around it are not affected. */
public class FrameException extends Exception {
    /** Why a frame gives no result. */
    public enum Reason {
        /** The image has no bytes. */
        EMPTY,
        /** The bytes are neither JPEG nor PNG. */
        NOT_AN_IMAGE,
        /** The image starts as it should, but is truncated or cannot be decoded. */
        CORRUPT_IMAGE,
        /** The image is of a kind that the decoder does not read, such as a JPEG of 12 bits a sample. */
        UNSUPPORTED_IMAGE,
        /** The packet of a video is damaged, or its picture is. */
        CORRUPT_PACKET,
        /** The image has more pixels, or asks for more work with them, than the limit; none of them was decoded. */
        TOO_LARGE,
        /** The image, or the packet of a video, was not decoded in time. */
        DECODER_TIMEOUT,
        /** The model failed on this frame. */
        MODEL_FAILED,
        /** The model answered with NaN or infinity. */
        NON_FINITE_OUTPUT,
        /** The call of the model has not come back in time. */
        TIMEOUT,
        /** The model needs more memory for this frame than there is. */
        OUT_OF_MEMORY,
        /** Nobody wanted the result any more when the frame's turn came. */
        DEADLINE
    }

    private final Reason reason;

    public FrameException(Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    public FrameException(Reason reason, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }
}
