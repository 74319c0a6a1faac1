package io.upliftstream.job;

import java.io.IOException;
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

    /**
     * The same of a task that is started again, after which Flink tries once more: the task ran before, so the trouble may
     * pass, such as a mount that comes later than the process. It has no cause, since Flink looks for this exception there.
     */
    IOException mayPass() {
        IOException trouble = new IOException(getMessage());
        trouble.setStackTrace(getStackTrace());
        return trouble;
    }
}
