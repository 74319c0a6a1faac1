package io.upliftstream.tools.camera;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import javax.imageio.ImageIO;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacv.FFmpegFrameRecorder;
import org.bytedeco.javacv.Java2DFrameConverter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CamerasTest {
    @TempDir
    private Path directory = Path.of(".");

    @Test
    void videoGivesEveryFrameInOrder() throws Exception {
        Path video = directory.resolve("video.avi");
        try (FFmpegFrameRecorder recorder = new FFmpegFrameRecorder(video.toFile(), 64, 48);
                Java2DFrameConverter converter = new Java2DFrameConverter()) {
            recorder.setVideoCodec(avcodec.AV_CODEC_ID_MPEG4);
            recorder.setPixelFormat(avutil.AV_PIX_FMT_YUV420P);
            recorder.setFrameRate(8);
            recorder.start();
            for (int i = 0; i < 5; i++) {
                recorder.record(converter.convert(grey(64, 48, 40 * i)));
            }
        }
        try (VideoCamera camera = new VideoCamera("yard", video, 0.9)) {
            assertThat(camera.framesPerSecond()).isEqualTo(8);
            List<Shot> shots = all(camera);
            assertThat(shots)
                    .extracting(Shot::name)
                    .containsExactly("yard_000000", "yard_000001", "yard_000002", "yard_000003", "yard_000004");
            for (int i = 0; i < shots.size(); i++) {
                BufferedImage image = Images.decode(shots.get(i).image());
                assertThat(List.of(image.getWidth(), image.getHeight())).containsExactly(64, 48);
                assertThat(image.getRGB(30, 20) & 0xff).isBetween(40 * i - 12, 40 * i + 12);
            }
        }
    }

    @Test
    void noVideoIsSaidInOneSentence() throws IOException {
        Path text = Files.writeString(directory.resolve("text.mp4"), "no video");
        assertThatThrownBy(() -> new VideoCamera("x", text, 0.9))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("text.mp4")
                .hasMessageContaining("expected");
    }

    @Test
    void directoryGivesJpegAndPngByteForByteAndOtherFormatsAsPng() throws Exception {
        BufferedImage picture = grey(30, 20, 120);
        Files.write(directory.resolve("b.jpg"), Images.jpeg(picture, 0.5));
        Files.write(directory.resolve("a.png"), Images.png(picture));
        Files.write(directory.resolve("d.jpeg"), new byte[] {1, 2, 3});
        Files.writeString(directory.resolve("notes.txt"), "left out");
        Files.createDirectory(directory.resolve("sub.jpg"));
        ImageIO.write(picture, "bmp", directory.resolve("c.bmp").toFile());
        try (ImageDirectory camera = new ImageDirectory("photos", directory)) {
            List<Shot> shots = all(camera);
            assertThat(shots).extracting(Shot::name).containsExactly("a", "b", "c", "d");
            assertThat(shots).extracting(Shot::format).containsExactly("png", "jpeg", "png", "jpeg");
            assertThat(shots.get(1).image()).isEqualTo(Files.readAllBytes(directory.resolve("b.jpg")));
            assertThat(shots.get(3).image()).containsExactly(1, 2, 3);
            BufferedImage converted = Images.decode(shots.get(2).image());
            assertThat(List.of(converted.getWidth(), converted.getHeight())).containsExactly(30, 20);
            assertThat(converted.getRGB(3, 3) & 0xff).isEqualTo(120);
        }
    }

    @Test
    void emptyDirectoryIsSaidInOneSentence() {
        assertThatThrownBy(() -> new ImageDirectory("photos", directory))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("holds no images");
    }

    @Test
    void syntheticCameraKnowsTheTruth() {
        try (SyntheticCamera camera = new SyntheticCamera("street", 20_000, 64, 48, 10, 0.9)) {
            Shot first = camera.next();
            assertThat(Objects.requireNonNull(first.labels())).hasSize(64 * 48);
            assertThat(camera.next().image()).isNotEqualTo(first.image());
        }
    }

    private static List<Shot> all(Camera camera) throws IOException {
        List<Shot> shots = new ArrayList<>();
        for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
            shots.add(shot);
        }
        return shots;
    }

    private static BufferedImage grey(int width, int height, int level) {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
        Graphics2D pen = image.createGraphics();
        pen.setColor(new Color(level, level, level));
        pen.fillRect(0, 0, width, height);
        pen.dispose();
        return image;
    }
}
