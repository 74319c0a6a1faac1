package io.upliftstream.model;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** Image bytes in, dense outputs out. */
@SuppressWarnings("DoNotCallSuggester")
public final class DenseService implements AutoCloseable {
    private DenseService() {}

    public static DenseService acquire(ServiceOptions options) throws BundleException {
        throw new BundleException("not there yet: " + options);
    }

    public CompletableFuture<DenseResult> submit(byte[] image) {
        throw new UnsupportedOperationException("not there yet: " + image.length);
    }

    public Executor executor() {
        throw new UnsupportedOperationException("not there yet");
    }

    public ModelBundle bundle() {
        throw new UnsupportedOperationException("not there yet");
    }

    /** The variant that runs, for example {@code cpu-fp32}. */
    public ModelBundle.Variant variant() {
        throw new UnsupportedOperationException("not there yet");
    }

    public String describe() {
        throw new UnsupportedOperationException("not there yet");
    }

    public int preferredInFlight() {
        throw new UnsupportedOperationException("not there yet");
    }

    @Override
    public void close() {}
}
