package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.Label;
import java.awt.image.BufferedImage;
import java.util.List;
import org.junit.jupiter.api.Test;

class OverlayTest {
    private static final int[] PALETTE =
            Overlay.palette(List.of(new Label(0, "red", 0xff0000), new Label(1, "blue", 0xff)));

    /** Four by two cells over an eight by four frame, letterboxed: half of the grid lies beside the frame. */
    private static final Grid LETTERBOX = new Grid(4, 2, 4, 2, -4, 0);

    @Test
    void cellsAreFoundByTheCentresOfFramePixels() {
        Grid grid = new Grid(3, 1, 8 / 3.0, 4, 0, 0);
        int[] cells = new int[8];
        for (int x = 0; x < 8; x++) {
            cells[x] = grid.cellAt(x, 3);
        }
        assertThat(cells).containsExactly(0, 0, 0, 1, 1, 2, 2, 2);
        assertThat(grid.cellAt(8, 0)).isEqualTo(-1);
        assertThat(List.of(grid.frameX(0), grid.frameX(1), grid.frameX(2))).containsExactly(1, 4, 6);
    }

    @Test
    void segmentationTintsWhereThereIsAClass() {
        BufferedImage frame = new BufferedImage(8, 4, BufferedImage.TYPE_INT_RGB);
        frame.setRGB(0, 0, 0x646464);
        frame.setRGB(7, 3, 0x646464);
        byte[] labels = {9, 0, (byte) 255, 9, 9, 9, 1, 9};
        BufferedImage overlay = Overlay.segmentation(frame, labels, LETTERBOX, PALETTE);
        assertThat(overlay.getRGB(0, 0)).as("45 % frame, 55 % red").isEqualTo(0xff000000 | 185 << 16 | 45 << 8 | 45);
        assertThat(overlay.getRGB(7, 0)).as("void shows the frame").isEqualTo(0xff000000);
        assertThat(overlay.getRGB(7, 3)).isEqualTo(0xff000000 | 45 << 16 | 45 << 8 | 185);
    }

    @Test
    void labelsCoverTheFrameAndAreVoidBeyondTheGrid() {
        byte[] labels = {3, 4};
        BufferedImage image = Overlay.labels(6, 2, labels, new Grid(2, 1, 2, 2, 0, 0));
        int[] row = image.getRaster().getSamples(0, 1, 6, 1, 0, (int[]) null);
        assertThat(row).containsExactly(3, 3, 4, 4, 255, 255);
    }

    @Test
    void principalColoursSeparateWhatDiffersMost() {
        // Two groups of cells that differ in channel 1; channel 0 varies a little, channel 2 not at all.
        float[] features = {
            0, 1, 0, 1, 0, 1, /* */ 10, 10, 10, -10, -10, -10, /* */ 5, 5, 5, 5, 5, 5,
        };
        int[] colours = new PrincipalColours(List.of(features), 3).colours(features);
        int first = colours[0] >> 16 & 0xff;
        int last = colours[5] >> 16 & 0xff;
        assertThat(Math.abs(first - last)).as("red is the first component").isGreaterThan(100);
        assertThat(colours[0] >> 16).isEqualTo(colours[2] >> 16);
        assertThat(colours[0] & 0xff).as("nothing varies in the third").isEqualTo(colours[5] & 0xff);
    }

    @Test
    void nearIsBrighterThanFar() {
        float[] depths = new float[100];
        for (int i = 0; i < depths.length; i++) {
            depths[i] = 1 + i;
        }
        int[] colours = DepthColours.colours(depths);
        assertThat(brightness(colours[0])).isGreaterThan(brightness(colours[50]));
        assertThat(brightness(colours[50])).isGreaterThan(brightness(colours[99]));
    }

    private static int brightness(int rgb) {
        return (rgb >> 16 & 0xff) + (rgb >> 8 & 0xff) + (rgb & 0xff);
    }
}
