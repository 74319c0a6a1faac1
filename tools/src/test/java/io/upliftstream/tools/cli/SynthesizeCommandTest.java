package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.street.StreetCamera;
import io.upliftstream.tools.street.StreetFrame;
import java.awt.image.BufferedImage;
import java.awt.image.Raster;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class SynthesizeCommandTest {
    @TempDir
    Path directory = Path.of(".");

    private final StringWriter err = new StringWriter();

    private int synthesize(String... options) {
        return new CommandLine(new SynthesizeCommand())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setErr(new PrintWriter(err))
                .execute(Stream.concat(Stream.of("--output", directory.toString()), Stream.of(options))
                        .toArray(String[]::new));
    }

    @Test
    void writesWhatTheCamerasSee() throws Exception {
        assertThat(synthesize("--seeds", "20000-20001", "--frames", "2", "--every", "2", "--size", "64x40"))
                .isZero();

        StreetFrame frame = new StreetCamera(20_001, 64, 40, 0.5).frame(1);
        BufferedImage image =
                ImageIO.read(directory.resolve("images/20001_1.jpg").toFile());
        Raster labels =
                ImageIO.read(directory.resolve("labels/20001_1.png").toFile()).getRaster();
        Raster depth =
                ImageIO.read(directory.resolve("depth/20001_1.png").toFile()).getRaster();
        double imageError = 0;
        for (int y = 0; y < 40; y++) {
            for (int x = 0; x < 64; x++) {
                imageError += Math.abs(
                        (image.getRGB(x, y) >> 8 & 255) - (frame.image().getRGB(x, y) >> 8 & 255));
                assertThat(labels.getSample(x, y, 0)).isEqualTo(frame.labels()[y * 64 + x]);
                assertThat(depth.getSample(x, y, 0)).isEqualTo(Math.round(frame.depthMetres()[y * 64 + x] * 100));
            }
        }
        assertThat(imageError / (64 * 40)).isLessThan(4);
        assertThat(directory.resolve("depth").toFile().list()).hasSize(4);
        assertThat(directory.resolve("dataset.json"))
                .content()
                .contains("\"first\": 20000, \"last\": 20001", "\"frames\": 4", "\"name\": \"traffic light\"");
    }

    @Test
    void saysWhatIsWrongWithAnOption() {
        assertThat(synthesize("--size", "64")).isEqualTo(2);
        assertThat(err.toString()).contains("64 (expected: WxH, for example 640x384)");
        assertThat(synthesize("--seeds", "9-1")).isEqualTo(2);
        assertThat(err.toString()).contains("9-1 (expected: FIRST-LAST, for example 0-299)");
        assertThat(synthesize("--size", "64x4")).isEqualTo(2);
        assertThat(err.toString()).contains("street camera size: 64x4 (expected: at least 16x16)");
        assertThat(synthesize("--frames", "0")).isEqualTo(2);
        assertThat(err.toString()).contains("--frames: 0");
    }
}
