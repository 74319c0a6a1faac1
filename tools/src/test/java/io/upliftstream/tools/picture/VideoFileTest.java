package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.VideoCamera;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VideoFileTest {
    @TempDir
    private Path directory = Path.of(".");

    /** Whoever sends a frame says when it was taken. */
    @Test
    void everyFrameIsKeptWhateverItsTime() throws Exception {
        long hour = 3_600_000_000L;
        long[] times = {
            0, Long.MIN_VALUE, -1, 0, Long.MAX_VALUE, 366 * 24 * hour, 7 * hour, 7 * hour, 7 * hour + 1, 8 * hour
        };
        BufferedImage picture = new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB);
        Path file = directory.resolve("far.mp4");
        try (VideoFile video = new VideoFile(file, 64, 64)) {
            for (long micros : times) {
                video.add(picture, micros);
            }
            assertThat(video.continued()).isEqualTo(6);
        }
        assertThat(pictures(file)).hasSize(times.length);
        assertThat(directory).isDirectoryNotContaining("glob:**/*.part");
    }

    @Test
    void aPictureOfAnotherSizeIsScaledWithItsProportions() throws Exception {
        Path file = directory.resolve("sizes.mp4");
        try (VideoFile video = new VideoFile(file, 160, 90)) {
            video.add(white(160, 90), 0);
            video.add(white(400, 100), 100_000);
            video.add(white(7, 63), 200_000);
        }
        List<BufferedImage> shown = pictures(file);
        assertThat(shown).allSatisfy(picture -> {
            assertThat(picture.getWidth()).isEqualTo(160);
            assertThat(picture.getRGB(80, 45) & 0xff).isGreaterThan(250);
        });
        assertThat(shown.get(0).getRGB(2, 2) & 0xff).isGreaterThan(250);
        assertThat(shown.get(1).getRGB(80, 10) & 0xff).as("above a wide one").isLessThan(5);
        assertThat(shown.get(1).getRGB(3, 45) & 0xff).as("its whole width").isGreaterThan(250);
        assertThat(shown.get(2).getRGB(10, 45) & 0xff).as("beside a high one").isLessThan(5);
        assertThat(shown.get(2).getRGB(80, 87) & 0xff).as("its whole height").isGreaterThan(250);
    }

    private static BufferedImage white(int width, int height) {
        BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                picture.setRGB(x, y, 0xffffff);
            }
        }
        return picture;
    }

    private static List<BufferedImage> pictures(Path file) throws IOException {
        List<BufferedImage> pictures = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", file.toString(), JpegFormat.of(1))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                pictures.add(Images.decode(shot.image()));
            }
        }
        return pictures;
    }

    @Test
    void someSizesCannotBeEncoded() {
        assertThat(VideoEncoder.encodes(8, 8)).isFalse();
        assertThat(VideoEncoder.encodes(16, 16)).isTrue();
        assertThat(VideoEncoder.encodes(4096, 2304)).isTrue();
        assertThat(VideoEncoder.encodes(8192, 8192)).isFalse();
    }

    @Test
    void sizesAtTheLimitsAreEncoded() throws Exception {
        for (int[] size : new int[][] {{16, 16}, {17, 33}, {4096, 2304}}) {
            BufferedImage picture = new BufferedImage(size[0], size[1], BufferedImage.TYPE_INT_RGB);
            try (VideoFile video = new VideoFile(directory.resolve(size[0] + ".mp4"), size[0], size[1])) {
                video.add(picture, 0);
            }
        }
    }
}
