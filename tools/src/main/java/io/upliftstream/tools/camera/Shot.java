package io.upliftstream.tools.camera;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * One picture as it goes on the wire.
 *
 * @param name of the picture, fit for a file name
 * @param image JPEG or PNG, or whatever a broken file held
 * @param format {@code jpeg} or {@code png}
 * @param position since the camera's first picture, by the camera's own clock
 * @param labels the true class of every pixel, row by row, 255 for void; null where nobody knows
 */
@SuppressWarnings("ArrayRecordComponent") // pixels are handed over, not copied
public record Shot(String name, byte[] image, String format, Duration position, byte @Nullable [] labels) {}
