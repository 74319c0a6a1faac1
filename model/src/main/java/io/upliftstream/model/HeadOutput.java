package io.upliftstream.model;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.jspecify.annotations.Nullable;

/**
 * One head's answer for one frame.
 *
 * @param data heap buffer, little-endian, contiguous: u8[H,W] of class ids for a segmentation, else [C,H,W] in the head's
 *     type
 * @param confidence u8[H,W], 255 for certainty; null where the head gives none
 */
public record HeadOutput(HeadSpec head, ByteBuffer data, @Nullable ByteBuffer confidence) {

    /** The numbers as floats, in the order of {@link #data}. */
    public float[] toFloats() {
        ByteBuffer values = data.duplicate().order(ByteOrder.LITTLE_ENDIAN).rewind();
        float[] floats = new float[values.remaining() / head.dtype().bytes()];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = switch (head.dtype()) {
                case UINT8 -> values.get(i) & 0xff;
                case FLOAT16 -> halfToFloat(values.getShort(2 * i));
                case FLOAT32 -> values.getFloat(4 * i);
            };
        }
        return floats;
    }

    /** Whether every number is finite. */
    boolean isFinite() {
        ByteBuffer values = data.duplicate().order(ByteOrder.LITTLE_ENDIAN).rewind();
        switch (head.dtype()) {
            case FLOAT16 -> {
                ShortBuffer halves = values.asShortBuffer();
                for (int i = 0; i < halves.limit(); i++) {
                    if ((halves.get(i) & 0x7c00) == 0x7c00) {
                        return false;
                    }
                }
            }
            case FLOAT32 -> {
                FloatBuffer floats = values.asFloatBuffer();
                for (int i = 0; i < floats.limit(); i++) {
                    if (!Float.isFinite(floats.get(i))) {
                        return false;
                    }
                }
            }
            case UINT8 -> {}
        }
        return true;
    }

    /** IEEE 754 binary16 to binary32; the JDK has this from version 20 on. */
    private static float halfToFloat(short half) {
        int sign = (half & 0x8000) << 16;
        int exponent = (half >> 10) & 0x1f;
        int fraction = half & 0x3ff;
        if (exponent == 0) { // zero and subnormals: fraction · 2^-24
            float magnitude = fraction * 0x1p-24f;
            return sign == 0 ? magnitude : -magnitude;
        }
        int wide = exponent == 0x1f ? 0xff : exponent - 15 + 127;
        return Float.intBitsToFloat(sign | wide << 23 | fraction << 13);
    }
}
