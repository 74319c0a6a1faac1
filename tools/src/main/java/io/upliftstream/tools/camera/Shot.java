package io.upliftstream.tools.camera;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * One picture as it goes on the wire.
 *
 * @param name of the picture, fit for a file name
 * @param image JPEG or PNG, or whatever a broken file held; of video, the access unit that the picture is decoded from
 * @param format {@code jpeg} or {@code png}; of video {@code h264}, {@code h265} or {@code av1}
 * @param position since the camera's first picture, by the camera's own clock; with B-frames it falls now and then
 * @param key whether it can be decoded without those before it, as images can
 * @param labels the true class of every pixel, row by row, 255 for void; null where nobody knows
 */
@SuppressWarnings("ArrayRecordComponent") // pixels are handed over, not copied
public record Shot(String name, byte[] image, String format, Duration position, boolean key, byte @Nullable [] labels) {

    /** An image. */
    public Shot(String name, byte[] image, String format, Duration position, byte @Nullable [] labels) {
        this(name, image, format, position, true, labels);
    }

    /** Whether it is a packet of video rather than an image. */
    public boolean isPacket() {
        return !format.equals("jpeg") && !format.equals("png");
    }
}
