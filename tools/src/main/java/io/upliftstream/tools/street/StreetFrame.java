package io.upliftstream.tools.street;

import java.awt.image.BufferedImage;

/**
 * One frame of a synthetic camera with its truth. The arrays are row-major, one element per image pixel.
 *
 * @param image the picture, {@link BufferedImage#TYPE_INT_RGB}
 * @param labels {@link Cityscapes} train ids
 * @param depthMetres distance along the optical axis in metres of the surface that {@code labels} names; 0 for the sky
 */
@SuppressWarnings("ArrayRecordComponent") // pixels are handed over, not copied
public record StreetFrame(BufferedImage image, byte[] labels, float[] depthMetres) {}
