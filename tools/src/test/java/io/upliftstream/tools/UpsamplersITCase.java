package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Bundles whose upsampler is not UPLiFT, served by the job: the records hold the golden case's labels. */
class UpsamplersITCase {
    private static final Path BUNDLES = Path.of("..", "model", "src", "test", "resources", "upsamplers");
    private static final int WIDTH = 40;
    private static final int HEIGHT = 24;

    private static EmbeddedKafka kafka;

    @BeforeAll
    static void start() throws IOException {
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void stop() throws IOException {
        kafka.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"jafar", "anyup"})
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void theJobServesAnotherUpsampler(String kind) throws Exception {
        Path bundle = BUNDLES.resolve(kind).toAbsolutePath().normalize();
        byte[] frames = Files.readAllBytes(bundle.resolve("golden/frames.bin"));
        byte[] labels = Files.readAllBytes(bundle.resolve("golden/classes.bin"));
        int count = labels.length / (WIDTH * HEIGHT);
        Topics topics = Topics.create(kafka, kind, 1, 1 << 20);
        for (int i = 0; i < count; i++) {
            byte[] png = Images.png(image(frames, i));
            topics.send(
                    0,
                    "north",
                    SingleObject.encode(Topics.frame("north", i, png).build()));
        }

        Topics.runWithoutRestart(topics.settings("uplift.model.bundle=" + bundle));

        List<SegmentationRecord> records = topics.read("segmentation", "read_committed", SegmentationRecord.class);
        assertThat(records).hasSize(count);
        for (int i = 0; i < count; i++) {
            int size = WIDTH * HEIGHT;
            assertThat(agreement(
                            MaskCodec.decode(records.get(i).getMask()),
                            Arrays.copyOfRange(labels, i * size, (i + 1) * size)))
                    .as("share of equal labels of frame %d", i)
                    .isGreaterThan(0.999);
        }
    }

    private static double agreement(byte[] found, byte[] expected) {
        assertThat(found).hasSameSizeAs(expected);
        int equal = 0;
        for (int i = 0; i < found.length; i++) {
            equal += found[i] == expected[i] ? 1 : 0;
        }
        return (double) equal / found.length;
    }

    /** A frame of the model's own size, so that its pixels reach the model as they are. */
    private static BufferedImage image(byte[] frames, int index) {
        BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                int at = 3 * ((index * HEIGHT + y) * WIDTH + x);
                image.setRGB(x, y, (frames[at] & 255) << 16 | (frames[at + 1] & 255) << 8 | (frames[at + 2] & 255));
            }
        }
        return image;
    }
}
