package io.upliftstream.tools.demo;

import io.upliftstream.tools.picture.Grid;

/**
 * How well labels agree with the truth, over many frames: a confusion matrix, counted at the centres of the output's
 * pixels. Pixels whose truth is void (255), or that lie outside the frame, do not count.
 */
public final class SegmentationScore {
    private static final int VOID = 255;

    private final long[][] pixels = new long[VOID + 1][VOID + 1]; // [truth][found]

    /**
     * Counts one frame.
     *
     * @param labels found, one byte per cell of the grid
     * @param truth one byte per pixel of the frame
     */
    public void add(byte[] labels, Grid grid, byte[] truth, int frameWidth) {
        int frameHeight = truth.length / frameWidth;
        for (int row = 0; row < grid.height(); row++) {
            int y = grid.frameY(row);
            for (int column = 0; column < grid.width(); column++) {
                int x = grid.frameX(column);
                if (x >= 0 && y >= 0 && x < frameWidth && y < frameHeight) {
                    pixels[truth[y * frameWidth + x] & 0xff][labels[row * grid.width() + column] & 0xff]++;
                }
            }
        }
    }

    /** Share of the pixels with the right label; NaN before the first. */
    public double pixelAccuracy() {
        long right = 0;
        long all = 0;
        for (int truth = 0; truth < VOID; truth++) {
            right += pixels[truth][truth];
            all += truthPixels(truth);
        }
        return (double) right / all;
    }

    /** Mean over the classes that occur in the truth of intersection over union; NaN before the first frame. */
    public double meanIoU() {
        double sum = 0;
        int classes = 0;
        for (int truth = 0; truth < VOID; truth++) {
            if (truthPixels(truth) > 0) {
                sum += intersectionOverUnion(truth);
                classes++;
            }
        }
        return sum / classes;
    }

    /** Intersection over union of one class; NaN if it occurs neither in the truth nor in the labels. */
    public double intersectionOverUnion(int label) {
        long found = 0;
        for (int truth = 0; truth < VOID; truth++) {
            found += pixels[truth][label];
        }
        long both = pixels[label][label];
        return (double) both / (truthPixels(label) + found - both);
    }

    private long truthPixels(int truth) {
        long sum = 0;
        for (long count : pixels[truth]) {
            sum += count;
        }
        return sum;
    }
}
