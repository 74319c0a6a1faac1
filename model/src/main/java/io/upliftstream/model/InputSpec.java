package io.upliftstream.model;

/**
 * What the model takes: RGB bytes of shape [n, height, width, 3] with n from 1 to {@code maxBatch}.
 *
 * @param width in pixels
 * @param height in pixels
 */
public record InputSpec(int width, int height, Fit fit, int maxBatch) {
    /** Bytes of one frame. */
    public int frameBytes() {
        return width * height * 3;
    }
}
