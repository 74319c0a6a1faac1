package io.upliftstream.tools.picture;

import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Words on pictures. Where there is no font, as in a bare container, pictures have none, and the log says so once. */
final class Lettering {
    private static final Logger LOG = LoggerFactory.getLogger(Lettering.class);
    private static final Font FONT = new Font(Font.SANS_SERIF, Font.PLAIN, 12);
    private static final boolean POSSIBLE = possible();

    private Lettering() {}

    /** Writes a line in the pen's colour; the baseline begins at this pixel. */
    static void write(Graphics2D pen, String text, int left, int baseline) {
        if (POSSIBLE) {
            pen.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
            pen.setFont(FONT);
            pen.drawString(text, left, baseline);
        }
    }

    private static boolean possible() {
        Graphics2D pen = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics();
        try {
            pen.setFont(FONT);
            pen.drawString("a", 0, 0);
            return true;
        } catch (InternalError | LinkageError | RuntimeException e) { // Java's answers, by version
            LOG.warn("no words on pictures: {} (expected: fontconfig and a font)", e.toString());
            return false;
        } finally {
            pen.dispose();
        }
    }
}
