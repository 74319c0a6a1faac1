package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.Label;
import java.awt.image.BufferedImage;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ContactSheetTest {
    private static final BufferedImage BLACK = new BufferedImage(64, 36, BufferedImage.TYPE_INT_RGB);

    @Test
    void theLegendIsBelowThePictures() {
        List<Label> labels = List.of(new Label(0, "road", 0x804080), new Label(13, "car", 0x00008e));
        List<ContactSheet.Row> rows = List.of(new ContactSheet.Row("one", List.of(BLACK, BLACK)));
        BufferedImage bare = ContactSheet.draw(List.of("frame", "classes"), rows, List.of());
        BufferedImage sheet = ContactSheet.draw(List.of("frame", "classes"), rows, labels);

        assertThat(pixels(bare, 0x804080)).isZero();
        assertThat(pixels(sheet, 0x804080)).as("a swatch").isEqualTo(12 * 12);
        assertThat(pixels(sheet, 0x00008e)).isEqualTo(12 * 12);
        assertThat(pixels(sheet, 0xffffff)).as("and names").isGreaterThan(pixels(bare, 0xffffff));
    }

    @Test
    void manyClassesTakeSeveralRows() {
        List<Label> labels = IntStream.range(0, 7)
                .mapToObj(id -> new Label(id, "class", 0x100000 + id))
                .toList();
        BufferedImage legend = Legend.draw(labels, 400);
        for (Label label : labels) {
            assertThat(pixels(legend, label.rgb())).as("%s", label).isEqualTo(12 * 12);
        }
    }

    private static long pixels(BufferedImage image, int rgb) {
        long count = 0;
        for (int y = 0; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) {
                count += (image.getRGB(x, y) & 0xffffff) == rgb ? 1 : 0;
            }
        }
        return count;
    }
}
