package io.upliftstream.schemas;

import org.jspecify.annotations.NullMarked;

/** IEEE 754 binary16 to binary32 and back, bit-exact, in the 16 low bits of a short. Java has it from version 20. */
@NullMarked
public final class Float16 {
    private static final int ONE_HALF = Float.floatToRawIntBits(0.5f);

    private Float16() {}

    /** Converts without loss; a NaN keeps its payload. */
    public static float toFloat(short half) {
        int sign = (half & 0x8000) << 16;
        int magnitude = half & 0x7FFF;
        if (magnitude >= 0x7C00) {
            return Float.intBitsToFloat(sign | 0x7F800000 | ((magnitude & 0x3FF) << 13));
        }
        // The exponents differ by 127 - 15: one product rebases it, for subnormals too.
        return Float.intBitsToFloat(sign | magnitude << 13) * 0x1p112f;
    }

    /** Rounds to the nearest, ties to even; beyond 65,519 is infinity; a NaN stays one. */
    public static short fromFloat(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = (bits >>> 16) & 0x8000;
        int magnitude = bits & 0x7FFFFFFF;
        int half;
        if (magnitude > 0x7F800000) {
            int payload = (magnitude >>> 13) & 0x3FF;
            half = 0x7C00 | (payload == 0 ? 0x200 : payload);
        } else if (magnitude >= 0x47800000) {
            half = 0x7C00;
        } else if (magnitude < 0x38800000) {
            // A unit in the last place of 0.5 is that of a subnormal: adding it does the rounding.
            half = Float.floatToRawIntBits(Float.intBitsToFloat(magnitude) + 0.5f) - ONE_HALF;
        } else {
            half = (magnitude - (112 << 23) + 0xFFF + ((magnitude >>> 13) & 1)) >>> 13;
        }
        return (short) (sign | half);
    }
}
