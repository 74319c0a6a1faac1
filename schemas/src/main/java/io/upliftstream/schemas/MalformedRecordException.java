package io.upliftstream.schemas;

import org.jspecify.annotations.NullMarked;

/** Bytes that are not what their schema or encoding says; the message is one sentence: what was, and what should be. */
@NullMarked
public final class MalformedRecordException extends RuntimeException {
    public MalformedRecordException(String message) {
        super(message);
    }

    MalformedRecordException(String message, Throwable cause) {
        super(message, cause);
    }
}
