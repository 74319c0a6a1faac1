package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Repeatable randomness: a hash for choices, a tile of smooth value noise for textures. */
final class Noise {
    private static final int SIZE = 256;
    private static final float[] TILE = tile();

    private Noise() {}

    /** Returns smooth noise in about -1..1 with features 2 to 32 units wide; it repeats every 256 units. */
    static float at(double x, double y) {
        return TILE[(((int) (y + (1 << 20)) & 255) << 8) | ((int) (x + (1 << 20)) & 255)];
    }

    /** Returns a number in 0..1 that depends on all three arguments. */
    static double hash(long a, long b, long c) {
        return (mix(a, b, c) >>> 11) * 0x1.0p-53;
    }

    /** Returns a random source that depends on all three arguments. */
    static SplittableRandom random(long a, long b, long c) {
        return new SplittableRandom(mix(a, b, c));
    }

    private static long mix(long a, long b, long c) {
        return mix(mix(mix(a) + b) + c);
    }

    /** The finaliser of SplitMix64. */
    private static long mix(long x) {
        long z = x + 0x9E3779B97F4A7C15L;
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    private static float[] tile() {
        var random = new SplittableRandom(1);
        float[] sum = new float[SIZE * SIZE];
        for (int cell = 2; cell <= 32; cell *= 2) {
            int n = SIZE / cell;
            double[] knots = random.doubles((long) n * n, -0.7, 0.7).toArray();
            for (int y = 0; y < SIZE; y++) {
                for (int x = 0; x < SIZE; x++) {
                    double fx = smooth((double) (x % cell) / cell);
                    double fy = smooth((double) (y % cell) / cell);
                    int x0 = x / cell;
                    int y0 = y / cell;
                    int x1 = (x0 + 1) % n;
                    int y1 = (y0 + 1) % n;
                    double above = knots[y0 * n + x0] * (1 - fx) + knots[y0 * n + x1] * fx;
                    double below = knots[y1 * n + x0] * (1 - fx) + knots[y1 * n + x1] * fx;
                    sum[y * SIZE + x] += (float) (above * (1 - fy) + below * fy);
                }
            }
        }
        return sum;
    }

    private static double smooth(double x) {
        return x * x * (3 - 2 * x);
    }
}
