package io.upliftstream.model;

/**
 * Where the model's input lies on the frame: {@code frame = input · scale + offset}, in pixel edges, so that the input's
 * left edge 0 falls on {@code offsetX}. An output pixel x of a head with stride s spans the input from s·x to s·(x+1).
 *
 * @param frameWidth of the frame as people see it, after its EXIF orientation was applied
 * @param frameHeight as {@code frameWidth}
 */
public record FrameTransform(
        int frameWidth, int frameHeight, double scaleX, double scaleY, double offsetX, double offsetY) {}
