package io.upliftstream.tools.camera;

/**
 * How a camera's pictures are written.
 *
 * @param quality 0 to 1
 * @param width in pixels; 0 for the camera's own
 * @param height in pixels; 0 for what the width and the camera's proportions make it
 */
public record JpegFormat(double quality, int width, int height) {
    /** Pictures of the camera's own size. */
    public static JpegFormat of(double quality) {
        return new JpegFormat(quality, 0, 0);
    }
}
