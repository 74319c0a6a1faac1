package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.geom.Rectangle2D;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The subscriber of docs/subscribe.md: compiled, run, and the same there as here. */
class SubscriberExampleTest {
    // example
    /** Where a class is on the frame: the box around all its pixels, in frame pixels; empty if there are none. */
    static Optional<Rectangle2D> box(byte[] value, int label) {
        SegmentationRecord record = SingleObject.decode(value, SegmentationRecord.class);
        Geometry geometry = record.getHeader().getGeometry().orElseThrow();
        byte[] labels = MaskCodec.decode(record.getMask());
        int width = record.getMask().getWidth();
        Rectangle2D box = null;
        for (int i = 0; i < labels.length; i++) {
            if ((labels[i] & 0xFF) == label) {
                int x = i % width;
                int y = i / width;
                Rectangle2D pixel = new Rectangle2D.Double(
                        x * geometry.getScaleX() + geometry.getOffsetX(),
                        y * geometry.getScaleY() + geometry.getOffsetY(),
                        geometry.getScaleX(),
                        geometry.getScaleY());
                box = box == null ? pixel : box.createUnion(pixel);
            }
        }
        return Optional.ofNullable(box);
    }
    // end of example

    @Test
    void findsAClassOnTheFrame() throws IOException {
        byte[] value = Files.readAllBytes(Path.of("src/test/resources/golden/segmentation-rle.avro"));

        // 24 x 16 pixels, each 55 x 45 of the frame; class 0 are the columns 0 to 4 of the rows 0 to 2.
        assertThat(box(value, 0)).contains(new Rectangle2D.Double(0, 0, 5 * 55, 3 * 45));
        assertThat(box(value, 255)).contains(new Rectangle2D.Double(22 * 55, 0, 2 * 55, 16 * 45));
        assertThat(box(value, 18)).isEmpty();
    }

    @Test
    void theDocsShowThisCode() throws IOException {
        String source = Files.readString(Path.of("src/test/java/io/upliftstream/schemas/SubscriberExampleTest.java"));
        int start = source.indexOf("    // example\n") + "    // example\n".length();
        String example = source.substring(start, source.indexOf("    // end of example\n"));

        assertThat(Files.readString(Path.of("../docs/subscribe.md"))).contains("```java\n" + example + "```");
    }
}
