package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VideoFileTest {
    @TempDir
    private Path directory = Path.of(".");

    /** Whoever sends a frame says when it was taken. */
    @Test
    void timesThatLieFarApartAreNoErrors() throws Exception {
        long hour = 3_600_000_000L;
        BufferedImage picture = new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB);
        Path file = directory.resolve("far.mp4");
        try (VideoFile video = new VideoFile(file, 64, 64)) {
            assertThat(video.add(picture, 0)).isTrue();
            for (long micros : new long[] {Long.MIN_VALUE, -1, 0, Long.MAX_VALUE, 366 * 24 * hour, 7 * hour}) {
                assertThat(video.add(picture, micros)).isFalse();
            }
            for (long micros : new long[] {1_000_000, 6 * hour, 6 * hour + 1_000_000}) {
                assertThat(video.add(picture, micros)).as("%d", micros).isTrue();
            }
        }
        assertThat(file).isNotEmptyFile();
        assertThat(directory).isDirectoryNotContaining("glob:**/*.part");
    }

    @Test
    void someSizesCannotBeEncoded() {
        assertThat(VideoFile.encodes(8, 8)).isFalse();
        assertThat(VideoFile.encodes(16, 16)).isTrue();
        assertThat(VideoFile.encodes(4096, 2304)).isTrue();
        assertThat(VideoFile.encodes(8192, 8192)).isFalse();
    }

    @Test
    void sizesAtTheLimitsAreEncoded() throws Exception {
        for (int[] size : new int[][] {{16, 16}, {17, 33}, {4096, 2304}}) {
            BufferedImage picture = new BufferedImage(size[0], size[1], BufferedImage.TYPE_INT_RGB);
            try (VideoFile video = new VideoFile(directory.resolve(size[0] + ".mp4"), size[0], size[1])) {
                assertThat(video.add(picture, 0)).isTrue();
            }
        }
    }
}
