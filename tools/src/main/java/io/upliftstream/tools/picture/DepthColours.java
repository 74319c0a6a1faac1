package io.upliftstream.tools.picture;

import java.util.Arrays;

/** Depth as colours, near bright and far dark, on a logarithmic scale between the 2nd and the 98th percentile. */
public final class DepthColours {
    /** From far to near: black, violet, red, orange, pale yellow. */
    private static final int[] RAMP = {0x000010, 0x3b0f70, 0xb73779, 0xfc8961, 0xfcfdbf};

    private static final float LEAST = 1e-3f;

    private DepthColours() {}

    /** The values of the brightest and the darkest colour. */
    public record Range(float near, float far) {}

    /** The range of the colours of some values. */
    public static Range range(float[] depths) {
        float[] sorted = depths.clone();
        Arrays.sort(sorted);
        return new Range(
                Math.max(LEAST, sorted[sorted.length * 2 / 100]), Math.max(LEAST, sorted[sorted.length * 98 / 100]));
    }

    /** A colour 0xRRGGBB per value. */
    public static int[] colours(float[] depths) {
        Range range = range(depths);
        double near = Math.log(range.near);
        double far = Math.max(Math.log(range.far), near + 1e-6);
        int[] colours = new int[depths.length];
        for (int i = 0; i < depths.length; i++) {
            colours[i] = ramp((far - Math.log(Math.max(LEAST, depths[i]))) / (far - near));
        }
        return colours;
    }

    private static int ramp(double unit) {
        double position = Math.max(0, Math.min(1, unit)) * (RAMP.length - 1);
        int below = Math.min((int) position, RAMP.length - 2);
        double share = position - below;
        int rgb = 0;
        for (int shift = 0; shift <= 16; shift += 8) {
            double value = (1 - share) * (RAMP[below] >> shift & 0xff) + share * (RAMP[below + 1] >> shift & 0xff);
            rgb |= (int) Math.round(value) << shift;
        }
        return rgb;
    }
}
