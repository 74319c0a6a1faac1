package io.upliftstream.tools.picture;

import io.upliftstream.model.Label;
import io.upliftstream.tools.camera.Images;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Names and colours of classes, in rows. */
public final class Legend {
    private static final int CELL_WIDTH = 150;
    private static final int CELL_HEIGHT = 20;
    private static final int SWATCH = 12;
    private static final int GAP = 6;

    private Legend() {}

    /** Writes a PNG file, unless there are no classes. */
    public static void write(Path file, List<Label> labels) throws IOException {
        if (!labels.isEmpty()) {
            FreshFile.write(file, Images.png(draw(labels, 4 * CELL_WIDTH + GAP)));
        }
    }

    /** Draws a swatch and the name of every label, as many in a row as fit. */
    public static BufferedImage draw(List<Label> labels, int width) {
        int columns = Math.max(1, (width - GAP) / CELL_WIDTH);
        int rows = (labels.size() + columns - 1) / columns;
        BufferedImage legend =
                new BufferedImage(width, GAP + Math.max(1, rows) * CELL_HEIGHT, BufferedImage.TYPE_INT_RGB);
        Graphics2D pen = legend.createGraphics();
        for (int i = 0; i < labels.size(); i++) {
            Label label = labels.get(i);
            int left = GAP + i % columns * CELL_WIDTH;
            int top = GAP + i / columns * CELL_HEIGHT;
            pen.setClip(left, top, CELL_WIDTH - GAP, CELL_HEIGHT);
            pen.setColor(new Color(label.rgb()));
            pen.fillRect(left, top, SWATCH, SWATCH);
            pen.setColor(Color.WHITE);
            Lettering.write(pen, label.name(), left + SWATCH + GAP, top + SWATCH - 1);
        }
        pen.dispose();
        return legend;
    }
}
