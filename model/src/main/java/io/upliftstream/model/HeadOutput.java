package io.upliftstream.model;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Arrays;
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

    /**
     * The head's labels or confidence, with the pixels overwritten whose centre is not in the frame; none are, unless the
     * input is letterboxed.
     *
     * @param pixels {@link #data} or {@link #confidence} of a segmentation
     * @return u8[H,W], for the caller to keep
     */
    public byte[] inFrame(ByteBuffer pixels, FrameTransform transform, byte padding) {
        int width = head.width();
        int height = head.height();
        byte[] inFrame = new byte[width * height];
        pixels.get(pixels.position(), inFrame);
        double scaleX = transform.scaleX() * head.stride();
        double scaleY = transform.scaleY() * head.stride();
        int left = firstAtOrBeyond(0, scaleX, transform.offsetX(), width);
        int right = firstAtOrBeyond(transform.frameWidth(), scaleX, transform.offsetX(), width);
        int top = firstAtOrBeyond(0, scaleY, transform.offsetY(), height);
        int bottom = firstAtOrBeyond(transform.frameHeight(), scaleY, transform.offsetY(), height);
        Arrays.fill(inFrame, 0, top * width, padding);
        for (int row = top * width; row < bottom * width; row += width) {
            Arrays.fill(inFrame, row, row + left, padding);
            Arrays.fill(inFrame, row + right, row + width, padding);
        }
        Arrays.fill(inFrame, bottom * width, inFrame.length, padding);
        return inFrame;
    }

    /** The first of {@code size} output pixels whose centre lies at a coordinate of the frame or beyond it. */
    private static int firstAtOrBeyond(int coordinate, double scale, double offset, int size) {
        int pixel = 0;
        while (pixel < size && (pixel + 0.5) * scale + offset < coordinate) {
            pixel++;
        }
        return pixel;
    }

    /** Whether every number is finite, of a segmentation: every label a class. 255 stands for logits that were not finite. */
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
            case UINT8 -> {
                for (int i = 0; i < values.limit(); i++) {
                    if ((values.get(i) & 0xff) >= head.channels()) {
                        return false;
                    }
                }
            }
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
