package io.upliftstream.tools.camera;

import java.io.IOException;

/** Says that a camera's picture cannot be read, or a part of its pictures; the camera goes on with the next. */
public final class UnreadableShotException extends IOException {
    private static final long serialVersionUID = 1;

    /** @param message a sentence that names the picture */
    public UnreadableShotException(String message, Throwable cause) {
        super(message, cause);
    }

    /** @param message a sentence that names the picture */
    public UnreadableShotException(String message) {
        super(message);
    }
}
