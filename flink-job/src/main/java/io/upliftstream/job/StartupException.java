package io.upliftstream.job;

import org.apache.flink.runtime.throwable.ThrowableAnnotation;
import org.apache.flink.runtime.throwable.ThrowableType;
import org.jspecify.annotations.Nullable;

/**
 * The job cannot start; the message is one sentence that says what was found and what was expected. Flink does not try
 * again after it.
 */
@ThrowableAnnotation(ThrowableType.NonRecoverableError)
public final class StartupException extends RuntimeException {
    /** Exit code for a configuration that cannot work. */
    public static final int CONFIGURATION = 2;

    /** Exit code for surroundings that are not as the configuration says: a broker, a topic, a bundle. */
    public static final int ENVIRONMENT = 3;

    private final int exitCode;

    /**
     * Without a cause.
     *
     * @param exitCode {@link #CONFIGURATION} or {@link #ENVIRONMENT}
     */
    public StartupException(int exitCode, String message) {
        this(exitCode, message, null);
    }

    public StartupException(int exitCode, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.exitCode = exitCode;
    }

    public int exitCode() {
        return exitCode;
    }
}
