package io.upliftstream.tools.camera;

import org.jspecify.annotations.Nullable;

/**
 * One picture as it goes on the wire.
 *
 * @param name of the picture, fit for a file name
 * @param image JPEG or PNG, or whatever a broken file held
 * @param format {@code jpeg} or {@code png}
 * @param labels the true class of every pixel, row by row, 255 for void; null where nobody knows
 */
@SuppressWarnings("ArrayRecordComponent") // pixels are handed over, not copied
public record Shot(String name, byte[] image, String format, byte @Nullable [] labels) {}
