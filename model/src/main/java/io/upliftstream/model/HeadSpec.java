package io.upliftstream.model;

import org.jspecify.annotations.Nullable;

/**
 * One output of the model.
 *
 * @param channels the number of classes of a segmentation (whose output has one channel), else the channels per pixel
 * @param width of the output grid, in pixels
 * @param height of the output grid, in pixels
 * @param stride input pixels per output pixel, in both directions
 * @param unit of a regression's numbers, such as {@code m}
 * @param confidence whether a segmentation also gives round(255 · largest softmax) at every pixel
 */
public record HeadSpec(
        String name,
        HeadKind kind,
        int channels,
        int width,
        int height,
        int stride,
        DType dtype,
        @Nullable String unit,
        boolean confidence) {

    /** Bytes of this head's output for one frame, its confidence not counted. */
    public int frameBytes() {
        int perPixel = kind == HeadKind.SEGMENTATION ? 1 : channels;
        return width * height * perPixel * dtype.bytes();
    }
}
