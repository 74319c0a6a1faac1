package io.upliftstream.tools.picture;

import io.upliftstream.schemas.MalformedRecordException;
import java.util.List;

/**
 * Feature vectors as colours: their first three principal components as red, green and blue. Fitted on several frames at
 * once, so that the same thing has the same colour in all of them.
 */
public final class PrincipalColours {
    private static final int COMPONENTS = 3;
    /** Standard deviations of a component that span its colour's range. */
    private static final double RANGE = 2;

    private static final int ITERATIONS = 50;
    /** An axis along which the features vary so much less than along the first is rounding, not an axis. */
    private static final double RANK_TOLERANCE = 1e-9;

    private final double[] mean;
    private final double[][] axes;
    private final double[] deviations = new double[COMPONENTS];

    /** Channels of a head that is drawn as colours: a fit takes their square in memory. */
    private static final int MAX_CHANNELS = 2048;

    /** Vectors that are enough to fit to. */
    private static final int SAMPLE = 8000;

    /**
     * Fits the components to a sample of one frame that came from outside.
     *
     * @param frame [channels, cells]
     * @throws MalformedRecordException if it cannot be drawn: too many channels, or values that are not finite
     */
    public static PrincipalColours fitted(float[] frame, int channels) {
        if (channels > MAX_CHANNELS) {
            throw new MalformedRecordException(
                    "features: %d channels (expected: at most %d as colours)".formatted(channels, MAX_CHANNELS));
        }
        for (float value : frame) {
            if (!Float.isFinite(value)) {
                throw new MalformedRecordException("features: %s (expected: finite values)".formatted(value));
            }
        }
        int cells = frame.length / channels;
        int thin = Math.max(1, cells / SAMPLE);
        int kept = cells / thin;
        float[] sample = new float[channels * kept];
        for (int c = 0; c < channels; c++) {
            for (int i = 0; i < kept; i++) {
                sample[c * kept + i] = frame[c * cells + i * thin];
            }
        }
        return new PrincipalColours(List.of(sample), channels);
    }

    /**
     * Fits the components.
     *
     * @param frames each [channels, cells], channel by channel
     */
    public PrincipalColours(List<float[]> frames, int channels) {
        mean = new double[channels];
        double[][] covariance = covariance(frames, channels, mean);
        axes = principalAxes(covariance, Math.min(COMPONENTS, channels));
        for (int k = 0; k < axes.length; k++) {
            deviations[k] = Math.sqrt(Math.max(dot(axes[k], times(covariance, axes[k])), 1e-12));
        }
    }

    /** A colour 0xRRGGBB per cell. */
    public int[] colours(float[] features) {
        int cells = features.length / mean.length;
        int[] colours = new int[cells];
        for (int cell = 0; cell < cells; cell++) {
            for (int k = 0; k < axes.length; k++) {
                double component = 0;
                for (int c = 0; c < mean.length; c++) {
                    component += axes[k][c] * (features[c * cells + cell] - mean[c]);
                }
                double unit = 0.5 + component / (2 * RANGE * deviations[k]);
                colours[cell] |= (int) Math.round(255 * Math.max(0, Math.min(1, unit))) << (16 - 8 * k);
            }
        }
        return colours;
    }

    private static double[][] covariance(List<float[]> frames, int channels, double[] mean) {
        double[][] products = new double[channels][channels];
        double[] vector = new double[channels];
        long count = 0;
        for (float[] frame : frames) {
            int cells = frame.length / channels;
            count += cells;
            for (int cell = 0; cell < cells; cell++) {
                for (int c = 0; c < channels; c++) {
                    vector[c] = frame[c * cells + cell];
                    mean[c] += vector[c];
                }
                for (int i = 0; i < channels; i++) {
                    for (int j = i; j < channels; j++) {
                        products[i][j] += vector[i] * vector[j];
                    }
                }
            }
        }
        for (int c = 0; c < channels; c++) {
            mean[c] /= count;
        }
        for (int i = 0; i < channels; i++) {
            for (int j = i; j < channels; j++) {
                products[i][j] = products[i][j] / count - mean[i] * mean[j];
                products[j][i] = products[i][j];
            }
        }
        return products;
    }

    /** The leading eigenvectors, by orthogonal iteration. */
    private static double[][] principalAxes(double[][] covariance, int count) {
        int channels = covariance.length;
        double[][] axes = new double[count][channels];
        double largest = 0;
        for (int k = 0; k < count; k++) {
            for (int c = 0; c < channels; c++) {
                axes[k][c] = Math.sin(1 + c * (k + 1)); // any start that is not orthogonal to the answer
            }
        }
        for (int iteration = 0; iteration < ITERATIONS; iteration++) {
            for (int k = 0; k < count; k++) {
                double[] next = times(covariance, axes[k]);
                for (int before = 0; before < k; before++) {
                    double share = dot(next, axes[before]);
                    for (int c = 0; c < channels; c++) {
                        next[c] -= share * axes[before][c];
                    }
                }
                double length = Math.sqrt(dot(next, next));
                largest = Math.max(largest, length);
                for (int c = 0; c < channels; c++) {
                    axes[k][c] = length > RANK_TOLERANCE * largest ? next[c] / length : 0;
                }
            }
        }
        return axes;
    }

    private static double[] times(double[][] matrix, double[] vector) {
        double[] product = new double[vector.length];
        for (int i = 0; i < vector.length; i++) {
            product[i] = dot(matrix[i], vector);
        }
        return product;
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
