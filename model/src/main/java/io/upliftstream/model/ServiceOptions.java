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
 * @param decodeTimeout of decoding one image, from its start
 */
public record ServiceOptions(
        Path bundle, ModelOptions model, long maxPixels, int queueCapacity, Duration timeout, Duration decodeTimeout) {
    /** How long decoding may take where nobody says otherwise: 10 seconds. */
    public static final Duration DEFAULT_DECODE_TIMEOUT = Duration.ofSeconds(10);

    public ServiceOptions {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("pixel limit: " + maxPixels + " (expected: >= 1)");
        }
        if (queueCapacity < 1) {
            throw new IllegalArgumentException("queue capacity: " + queueCapacity + " (expected: >= 1)");
        }
        for (Duration limit : new Duration[] {timeout, decodeTimeout}) {
            if (limit.toMillis() < 1) {
                throw new IllegalArgumentException("timeout: " + limit.toMillis() + " ms (expected: >= 1 ms)");
            }
        }
    }

    /** Options with a limit of 50 megapixels, a queue of 32 frames, 30 seconds for a call and 10 for decoding. */
    public ServiceOptions(Path bundle, ModelOptions model) {
        this(bundle, model, FrameDecoder.DEFAULT_MAX_PIXELS, 32, Duration.ofSeconds(30), DEFAULT_DECODE_TIMEOUT);
    }

    /** These options with another timeout of a call of the model. */
    public ServiceOptions withTimeout(Duration other) {
        return new ServiceOptions(bundle, model, maxPixels, queueCapacity, other, decodeTimeout);
    }
}
