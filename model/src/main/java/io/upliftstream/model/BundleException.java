package io.upliftstream.model;

/** A bundle that cannot be served here: its message is one sentence that says what was found and what was expected. */
public class BundleException extends Exception {
    public BundleException(String message) {
        super(message);
    }

    public BundleException(String message, Throwable cause) {
        super(message, cause);
    }
}
