package io.upliftstream.model;

/** A device that computes nothing any more in this process: a GPU after most of CUDA's errors, until the process starts anew. */
final class DeviceLostException extends RuntimeException {
    private static final long serialVersionUID = 1;

    DeviceLostException(String message, Throwable cause) {
        super(message, cause);
    }
}
