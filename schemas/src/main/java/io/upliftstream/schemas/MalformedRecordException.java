package io.upliftstream.schemas;

import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** Bytes that are not what their schema or encoding says; the message is one sentence: what was, and what should be. */
@NullMarked
public final class MalformedRecordException extends RuntimeException {
    public MalformedRecordException(String message) {
        super(message);
    }

    MalformedRecordException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
