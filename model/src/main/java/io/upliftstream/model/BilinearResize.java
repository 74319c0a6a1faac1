package io.upliftstream.model;

import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Bilinear resizing with antialiasing, as Pillow ({@code Image.resize} with {@code BILINEAR}) and PyTorch
 * ({@code antialias=True}) do it: a triangle as wide as the reduction, columns first, then rows, in fixed point with
 * 8-bit numbers in between. OpenCV's and ImageIO's bilinear resizing looks at four pixels only, whatever the reduction,
 * and so gives a model other images than those it was trained on.
 */
final class BilinearResize {
    /** Bits behind the binary point; 255 times a weight of 1 still fits an int. */
    private static final int BITS = 22;

    private static final int HALF = 1 << (BITS - 1);
    /** Cameras have a handful of sizes; a directory of photos may have many. */
    private static final int CACHED = 256;

    private static final Map<Axis, Weights> CACHE = new ConcurrentHashMap<>();

    private BilinearResize() {}

    /** Rows of pixels, three bytes each, that are read once and in order. */
    interface Rows {
        void read(int row, byte[] into);
    }

    /** One direction of a resize: {@code size} pixels, of which {@code extent} are image, become {@code target}. */
    private record Axis(int size, double extent, int target) {}

    /** Pixel i of the target is the sum of {@code taps} pixels from {@code first[i]} on, times their weights. */
    private static final class Weights {
        final int taps;
        final int[] first;
        final int[] weights;

        static Weights of(Axis axis) {
            if (CACHE.size() >= CACHED) {
                CACHE.clear();
            }
            return CACHE.computeIfAbsent(axis, Weights::new);
        }

        private Weights(Axis axis) {
            double scale = axis.extent() / axis.target();
            double support = Math.max(scale, 1);
            taps = Math.min(axis.size(), 2 * (int) Math.ceil(support) + 1);
            first = new int[axis.target()];
            weights = new int[axis.target() * taps];
            double[] exact = new double[taps];
            for (int i = 0; i < axis.target(); i++) {
                double center = (i + 0.5) * scale;
                int from = Math.max(0, (int) (center - support + 0.5));
                int to = Math.min(axis.size(), (int) (center + support + 0.5));
                double sum = 0;
                for (int k = 0; k < to - from; k++) {
                    exact[k] = Math.max(0, 1 - Math.abs(from + k - center + 0.5) / support);
                    sum += exact[k];
                }
                // The window is moved to lie inside the image with all its taps; those not wanted weigh nothing.
                first[i] = Math.min(from, axis.size() - taps);
                for (int k = 0; k < to - from; k++) {
                    weights[i * taps + from - first[i] + k] = (int) (0.5 + exact[k] / sum * (1 << BITS));
                }
            }
        }
    }

    /**
     * Resizes an image.
     *
     * @param width of a source row, in pixels
     * @param height rows
     * @param extentX how many of the columns are image; the last may count in part
     * @param extentY how many of the rows are image
     * @return u8[targetHeight, targetWidth, 3], with the order of the three channels reversed
     */
    static byte[] reversingChannels(
            Rows source, int width, int height, double extentX, double extentY, int targetWidth, int targetHeight) {
        Weights columns = Weights.of(new Axis(width, extentX, targetWidth));
        Weights rows = Weights.of(new Axis(height, extentY, targetHeight));
        int stride = 3 * targetWidth;
        byte[] narrow = new byte[Math.multiplyExact(height, stride)];
        byte[] line = new byte[3 * width];
        for (int y = 0; y < height; y++) {
            source.read(y, line);
            resizeRow(line, columns, narrow, y * stride);
        }
        byte[] result = new byte[targetHeight * stride];
        int[] sums = new int[stride];
        for (int y = 0; y < targetHeight; y++) {
            Arrays.fill(sums, HALF);
            for (int k = 0; k < rows.taps; k++) {
                int weight = rows.weights[y * rows.taps + k];
                if (weight != 0) {
                    int from = (rows.first[y] + k) * stride;
                    for (int i = 0; i < stride; i++) {
                        sums[i] += weight * (narrow[from + i] & 0xff);
                    }
                }
            }
            for (int i = 0; i < stride; i++) {
                result[y * stride + i] = toByte(sums[i]);
            }
        }
        return result;
    }

    private static void resizeRow(byte[] line, Weights columns, byte[] into, int at) {
        int taps = columns.taps;
        int[] weights = columns.weights;
        int[] first = columns.first;
        for (int x = 0; x < first.length; x++) {
            int a = HALF;
            int b = HALF;
            int c = HALF;
            int pixel = 3 * first[x];
            for (int k = x * taps; k < (x + 1) * taps; k++) {
                int weight = weights[k];
                a += weight * (line[pixel] & 0xff);
                b += weight * (line[pixel + 1] & 0xff);
                c += weight * (line[pixel + 2] & 0xff);
                pixel += 3;
            }
            into[at] = toByte(c);
            into[at + 1] = toByte(b);
            into[at + 2] = toByte(a);
            at += 3;
        }
    }

    /** Rounded weights may sum up to a little more than 1. */
    private static byte toByte(int sum) {
        return (byte) Math.min(sum >> BITS, 255);
    }
}
