package io.upliftstream.tools.picture;

import io.upliftstream.model.Label;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.List;

/** Pictures in rows and columns on one sheet, each row with a caption, and below them what the classes' colours mean. */
public final class ContactSheet {
    private static final int CELL_WIDTH = 360;
    private static final int MAX_CELL_HEIGHT = 270;
    private static final int GAP = 6;
    private static final int CAPTION = 18;

    private ContactSheet() {}

    /** One row: pictures of one frame, all of the frame's size. */
    public record Row(String caption, List<BufferedImage> pictures) {}

    /**
     * Draws the sheet.
     *
     * @param titles of the columns
     * @param labels the classes in the pictures
     */
    public static BufferedImage draw(List<String> titles, List<Row> rows, List<Label> labels) {
        int width = GAP + titles.size() * (CELL_WIDTH + GAP);
        BufferedImage legend = Legend.draw(labels, width);
        int height = CAPTION + GAP + legend.getHeight();
        for (Row row : rows) {
            height += cellHeight(row) + CAPTION + GAP;
        }
        BufferedImage sheet = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        Graphics2D pen = sheet.createGraphics();
        pen.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
        pen.setColor(Color.WHITE);
        for (int column = 0; column < titles.size(); column++) {
            Lettering.write(pen, titles.get(column), left(column), CAPTION - 4);
        }
        int top = CAPTION + GAP;
        for (Row row : rows) {
            for (int column = 0; column < row.pictures().size(); column++) {
                BufferedImage picture = row.pictures().get(column);
                int shownWidth =
                        Math.max(1, Math.min(CELL_WIDTH, cellHeight(row) * picture.getWidth() / picture.getHeight()));
                pen.drawImage(picture, left(column), top, shownWidth, cellHeight(row), null);
            }
            top += cellHeight(row) + CAPTION;
            Lettering.write(pen, row.caption(), left(0), top - 4);
            top += GAP;
        }
        pen.drawImage(legend, 0, top, null);
        pen.dispose();
        return sheet;
    }

    private static int left(int column) {
        return GAP + column * (CELL_WIDTH + GAP);
    }

    private static int cellHeight(Row row) {
        BufferedImage first = row.pictures().get(0);
        return Math.max(1, Math.min(MAX_CELL_HEIGHT, CELL_WIDTH * first.getHeight() / first.getWidth()));
    }
}
