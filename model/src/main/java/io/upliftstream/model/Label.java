package io.upliftstream.model;

/**
 * A class of the segmentation.
 *
 * @param rgb its colour in overlays, 0xRRGGBB
 */
public record Label(int id, String name, int rgb) {}
