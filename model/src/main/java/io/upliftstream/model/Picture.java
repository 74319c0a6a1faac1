package io.upliftstream.model;

import java.nio.ByteBuffer;

/**
 * A decoded picture, such as a video's, in its own size.
 *
 * @param rgb direct buffer that begins with u8[height, width, 3] as it is stored; nobody writes to it until it is released
 * @param orientation EXIF's, 1 to 8, which turns the picture upright
 * @param release gives the buffer back to who made the picture; optional
 */
public record Picture(ByteBuffer rgb, int width, int height, int orientation, Runnable release) {
    /** Bytes that it takes. */
    public long bytes() {
        return rgb.capacity();
    }
}
