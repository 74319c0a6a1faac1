package io.upliftstream.tools.picture;

import io.upliftstream.model.Label;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.util.Arrays;
import java.util.List;

/** Outputs laid over, or stretched to, the frame they belong to. */
public final class Overlay {
    private static final int VOID = 255;
    /** Share of the class colour in an overlay; the rest is the frame. */
    private static final double OPACITY = 0.55;

    private Overlay() {}

    /** Colours of 256 labels: those of the classes, black for every other. */
    public static int[] palette(List<Label> labels) {
        int[] colours = new int[256];
        labels.forEach(label -> colours[label.id()] = label.rgb());
        return colours;
    }

    /**
     * The frame, tinted by the class at every pixel; left as it is where there is none.
     *
     * @param labels one byte per cell of the grid
     */
    public static BufferedImage segmentation(BufferedImage frame, byte[] labels, Grid grid, int[] palette) {
        BufferedImage result = new BufferedImage(frame.getWidth(), frame.getHeight(), BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < frame.getHeight(); y++) {
            for (int x = 0; x < frame.getWidth(); x++) {
                int cell = grid.cellAt(x, y);
                int rgb = frame.getRGB(x, y) & 0xffffff;
                boolean known = cell >= 0 && (labels[cell] & 0xff) != VOID;
                result.setRGB(x, y, known ? blend(rgb, palette[labels[cell] & 0xff]) : rgb);
            }
        }
        return result;
    }

    private static int blend(int below, int above) {
        int rgb = 0;
        for (int shift = 0; shift <= 16; shift += 8) {
            double value = (1 - OPACITY) * (below >> shift & 0xff) + OPACITY * (above >> shift & 0xff);
            rgb |= (int) Math.round(value) << shift;
        }
        return rgb;
    }

    /** Class ids in the frame's size, 8-bit grey; 255 where the grid does not reach. */
    public static BufferedImage labels(int frameWidth, int frameHeight, byte[] labels, Grid grid) {
        BufferedImage result = new BufferedImage(frameWidth, frameHeight, BufferedImage.TYPE_BYTE_GRAY);
        byte[] pixels = ((DataBufferByte) result.getRaster().getDataBuffer()).getData();
        Arrays.fill(pixels, (byte) VOID);
        for (int y = 0; y < frameHeight; y++) {
            for (int x = 0; x < frameWidth; x++) {
                int cell = grid.cellAt(x, y);
                if (cell >= 0) {
                    pixels[y * frameWidth + x] = labels[cell];
                }
            }
        }
        return result;
    }

    /** A colour per cell, stretched to the frame's size; black where the grid does not reach. */
    public static BufferedImage colours(int frameWidth, int frameHeight, int[] colours, Grid grid) {
        BufferedImage result = new BufferedImage(frameWidth, frameHeight, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < frameHeight; y++) {
            for (int x = 0; x < frameWidth; x++) {
                int cell = grid.cellAt(x, y);
                if (cell >= 0) {
                    result.setRGB(x, y, colours[cell]);
                }
            }
        }
        return result;
    }
}
