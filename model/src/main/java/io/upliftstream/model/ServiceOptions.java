package io.upliftstream.model;

import java.nio.file.Path;
import java.time.Duration;

/**
 * What to serve and within which bounds.
 *
 * @param bundle directory of a model bundle
 * @param maxPixels of an image; larger ones are refused before a pixel is decoded
 * @param queueCapacity decoded frames that may wait for the model
 * @param timeout of one call of the model, from its start
 */
public record ServiceOptions(Path bundle, ModelOptions model, long maxPixels, int queueCapacity, Duration timeout) {
    public ServiceOptions {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("pixel limit: " + maxPixels + " (expected: >= 1)");
        }
        if (queueCapacity < 1) {
            throw new IllegalArgumentException("queue capacity: " + queueCapacity + " (expected: >= 1)");
        }
        if (timeout.toMillis() < 1) {
            throw new IllegalArgumentException("timeout: " + timeout.toMillis() + " ms (expected: >= 1 ms)");
        }
    }

    /** Options with a limit of 50 megapixels, a queue of 32 frames, and 30 seconds for a call. */
    public ServiceOptions(Path bundle, ModelOptions model) {
        this(bundle, model, FrameDecoder.DEFAULT_MAX_PIXELS, 32, Duration.ofSeconds(30));
    }

    /** These options with another timeout. */
    public ServiceOptions withTimeout(Duration other) {
        return new ServiceOptions(bundle, model, maxPixels, queueCapacity, other);
    }
}
