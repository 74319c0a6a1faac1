package io.upliftstream.tools.camera;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;
import org.bytedeco.opencv.opencv_core.Scalar;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ImagesTest {
    private static final Path IMAGES = Path.of("..", "model", "src", "test", "resources", "images");

    /** The eight files hold one scene, stored in eight ways. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 5, 6, 7, 8})
    void everyOrientationIsTurnedUpright(int orientation) throws IOException {
        BufferedImage stored = Images.decode(Files.readAllBytes(IMAGES.resolve("exif-1.jpg")));
        BufferedImage turned = Images.decode(Files.readAllBytes(IMAGES.resolve("exif-" + orientation + ".jpg")));

        int width = orientation < 5 ? stored.getWidth() : stored.getHeight();
        assertThat(turned.getWidth()).isEqualTo(width);
        int x = width / 5;
        int y = turned.getHeight() / 7;
        int right = width - 1 - x;
        int bottom = turned.getHeight() - 1 - y;
        int expected =
                switch (orientation) {
                    case 2 -> stored.getRGB(right, y);
                    case 3 -> stored.getRGB(right, bottom);
                    case 4 -> stored.getRGB(x, bottom);
                    case 5 -> stored.getRGB(y, x);
                    case 6 -> stored.getRGB(y, right);
                    case 7 -> stored.getRGB(bottom, right);
                    default -> stored.getRGB(bottom, x);
                };
        assertThat(turned.getRGB(x, y)).isEqualTo(expected);
    }

    @ParameterizedTest
    @ValueSource(strings = {".bmp", ".tiff", ".webp", ".ppm"})
    void whatOpenCvReadsBesideIsRefused(String format) throws IOException {
        assertThatThrownBy(() -> Images.decode(encoded(format)))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("(expected: a JPEG or PNG)");
        assertThat(Images.decode(encoded(".png")).getWidth()).isEqualTo(32);
        byte[] jpeg2000 = HexFormat.of().parseHex("0000000c6a5020200d0a870a00000014667479706a703220");
        assertThatThrownBy(() -> Images.decode(jpeg2000)).hasMessageContaining("(expected: a JPEG or PNG)");
    }

    @Test
    void whatIsNoWholePictureIsRefused() throws IOException {
        byte[] jpeg = Files.readAllBytes(IMAGES.resolve("plain.jpg"));
        assertThatThrownBy(() -> Images.decode(Arrays.copyOf(jpeg, 200))).hasMessageContaining("truncated");
        assertThatThrownBy(() -> Images.decode(new byte[0])).hasMessageContaining("no bytes");
    }

    private static byte[] encoded(String format) {
        try (Mat pixels = new Mat(16, 32, opencv_core.CV_8UC3, new Scalar(10, 20, 30, 0));
                BytePointer bytes = new BytePointer()) {
            opencv_imgcodecs.imencode(format, pixels, bytes);
            byte[] array = new byte[(int) bytes.limit()];
            bytes.get(array);
            return array;
        }
    }
}
