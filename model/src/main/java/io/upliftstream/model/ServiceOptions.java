package io.upliftstream.model;

import java.nio.file.Path;

/**
 * What to serve and within which bounds.
 *
 * @param bundle directory of a model bundle
 * @param maxPixels of an image; larger ones are refused before a pixel is decoded
 * @param queueCapacity decoded frames that may wait for the model
 */
public record ServiceOptions(Path bundle, ModelOptions model, long maxPixels, int queueCapacity) {
    public ServiceOptions {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("pixel limit: " + maxPixels + " (expected: >= 1)");
        }
        if (queueCapacity < 1) {
            throw new IllegalArgumentException("queue capacity: " + queueCapacity + " (expected: >= 1)");
        }
    }

    /** A limit of 50 megapixels and a queue of 32 frames. */
    public ServiceOptions(Path bundle, ModelOptions model) {
        this(bundle, model, FrameDecoder.DEFAULT_MAX_PIXELS, 32);
    }
}
