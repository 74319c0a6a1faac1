package io.upliftstream.job;

/** A command that is not carried out; the message is one sentence that says what was found and what was expected. */
final class RefusedException extends Exception {
    RefusedException(String message) {
        super(BoundedText.oneLine(message)); // which may quote what others wrote
    }
}
