package io.upliftstream.tools.traffic;

import java.util.Arrays;

/** Latencies that were measured, and their percentiles. For use by one thread at a time. */
public final class Latencies {
    private double[] values = new double[256];
    private int size;

    /** One more, in milliseconds. */
    public void add(double millis) {
        if (size == values.length) {
            values = Arrays.copyOf(values, 2 * size);
        }
        values[size++] = millis;
    }

    /** Milliseconds at a percentile from 0 to 100; NaN if nothing was measured. */
    public double percentile(double percentile) {
        if (size == 0) {
            return Double.NaN;
        }
        double[] sorted = Arrays.copyOf(values, size);
        Arrays.sort(sorted);
        return sorted[(int) Math.min(size - 1L, Math.max(0, (long) Math.ceil(percentile / 100 * size) - 1))];
    }
}
