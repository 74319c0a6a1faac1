package io.upliftstream.schemas;

import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** A schema registry has no schema or id for the caller; the message is one sentence: what was, and what should be. */
@NullMarked
public final class RegistryException extends RuntimeException {
    /** Why. */
    public enum Reason {
        /** No connection, no answer in time, or one that says that the registry is not well. */
        AWAY,
        /** The registry wants another user, password or token. */
        REFUSED,
        /** It has no such schema, id or subject. */
        UNKNOWN,
        /** The schema is not compatible with those of its subject. */
        INCOMPATIBLE,
        /** An answer that is none of a schema registry, or a schema that cannot be used, or may not by this log-in. */
        UNUSABLE
    }

    private final Reason reason;

    RegistryException(Reason reason, String message) {
        this(reason, message, null);
    }

    RegistryException(Reason reason, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }

    /** Whether the same question may be answered later, when somebody has put the registry, or the log-in, right. */
    public boolean mayPass() {
        return reason == Reason.AWAY || reason == Reason.REFUSED;
    }
}
