package io.upliftstream.model;

import java.nio.ByteBuffer;
import java.util.List;

/** A bundle's model on one device, ready to run. */
@SuppressWarnings("DoNotCallSuggester")
public final class DenseModel implements AutoCloseable {
    private DenseModel() {}

    public static DenseModel load(ModelBundle bundle, ModelOptions options) throws BundleException {
        throw new BundleException("not there yet: " + bundle + options);
    }

    public List<DenseOutput> infer(ByteBuffer rgb, int n) {
        throw new UnsupportedOperationException("not there yet: " + rgb + n);
    }

    /** The variant that runs. */
    public ModelBundle.Variant variant() {
        throw new UnsupportedOperationException("not there yet");
    }

    public int maxBatch() {
        throw new UnsupportedOperationException("not there yet");
    }

    public String describe() {
        throw new UnsupportedOperationException("not there yet");
    }

    public GoldenReport verify() {
        throw new UnsupportedOperationException("not there yet");
    }

    @Override
    public void close() {}
}
