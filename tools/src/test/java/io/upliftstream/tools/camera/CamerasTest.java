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
        try (VideoCamera camera = new VideoCamera("yard", video.toString(), JpegFormat.of(0.9))) {
            assertThat(camera.framesPerSecond()).isEqualTo(8);
            List<Shot> shots = all(camera);
            assertThat(shots)
                    .extracting(Shot::name)
                    .containsExactly("yard_000000", "yard_000001", "yard_000002", "yard_000003", "yard_000004");
            assertThat(shots)
                    .extracting(shot -> shot.position().toMillis())
                    .containsExactly(0L, 125L, 250L, 375L, 500L);
            for (int i = 0; i < shots.size(); i++) {
                BufferedImage image = Images.decode(shots.get(i).image());
                assertThat(List.of(image.getWidth(), image.getHeight())).containsExactly(64, 48);
                assertThat(image.getRGB(30, 20) & 0xff).isBetween(40 * i - 12, 40 * i + 12);
            }
        }
    }

    @Test
    void sidewaysVideoIsTurnedUprightAndScaled() throws Exception {
        Path video = directory.resolve("phone.mp4");
        try (FFmpegFrameRecorder recorder = new FFmpegFrameRecorder(video.toFile(), 64, 48);
                Java2DFrameConverter converter = new Java2DFrameConverter()) {
            recorder.setVideoCodec(avcodec.AV_CODEC_ID_MPEG4);
            recorder.setPixelFormat(avutil.AV_PIX_FMT_YUV420P);
            recorder.setDisplayRotation(-90); // clockwise
            recorder.start();
            BufferedImage picture = grey(64, 48, 0);
            Graphics2D pen = picture.createGraphics();
            pen.setColor(Color.WHITE);
            pen.fillRect(0, 0, 32, 24);
            pen.dispose();
            recorder.record(converter.convert(picture));
        }
        for (int scale = 1; scale <= 2; scale++) {
            try (VideoCamera camera = new VideoCamera("x", video.toString(), new JpegFormat(0.95, 48 / scale, 0))) {
                BufferedImage image =
                        Images.decode(Objects.requireNonNull(camera.next()).image());
                assertThat(List.of(image.getWidth(), image.getHeight())).containsExactly(48 / scale, 64 / scale);
                assertThat(image.getRGB(40 / scale, 8 / scale) & 0xff).isGreaterThan(200);
                assertThat(image.getRGB(8 / scale, 8 / scale) & 0xff).isLessThan(50);
                assertThat(image.getRGB(40 / scale, 56 / scale) & 0xff).isLessThan(50);
            }
        }
    }

    @Test
    void loopGoesOnWithItsTimes() throws Exception {
        Files.write(directory.resolve("a.jpg"), new byte[] {1});
        Files.write(directory.resolve("b.jpg"), new byte[] {2});
        try (LoopingCamera camera =
                new LoopingCamera(new CameraSource("photos", directory.toString()), JpegFormat.of(0.9), Video.NONE)) {
            for (int i = 0; i < 5; i++) {
                Shot shot = camera.next();
                assertThat(shot.image()).containsExactly(i % 2 + 1);
                assertThat(shot.position()).hasMillis(200L * i);
            }
        }
    }

    @Test
    void sourcesAreNamed() {
        assertThat(CameraSource.parse("gate=rtsp://user:secret@10.0.0.7:554/main?a=b"))
                .isEqualTo(new CameraSource("gate", "rtsp://user:secret@10.0.0.7:554/main?a=b"));
        assertThat(CameraSource.parse("rtsp://user:secret@10.0.0.7:554/main?a=b")
                        .id())
                .isEqualTo("10.0.0.7");
        assertThat(CameraSource.parse("rtsp://admin:P@ss@10.0.0.7/main").id()).isEqualTo("10.0.0.7");
        assertThat(CameraSource.parse("films/my street.mp4").id()).isEqualTo("my street");
        assertThat(CameraSource.parse("/dev/video0").id()).isEqualTo("video0");
        assertThat(CameraSource.parse("synthetic:7").id()).isEqualTo("street-7");
    }

    @Test
    void passwordsAreNotRepeated() {
        for (String password : List.of("secret", "sec@ret")) {
            CameraSource nobody = CameraSource.parse("http://user:" + password + "@127.0.0.1:1/stream");
            assertThatThrownBy(() -> nobody.open(JpegFormat.of(0.9)))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("http://***@127.0.0.1:1/stream")
                    .hasMessageContaining("Connection refused")
                    .hasMessageNotContaining("ret@");
        }
    }

    @Test
    void noVideoIsSaidInOneSentence() throws IOException {
        Path text = Files.writeString(directory.resolve("text.mp4"), "no video");
        assertThatThrownBy(() -> new VideoCamera("x", text.toString(), JpegFormat.of(0.9)))
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
    void aPictureThatCannotBeReadIsNamedAndTheOthersGoOn() throws Exception {
        ImageIO.write(grey(30, 20, 1), "bmp", directory.resolve("a.bmp").toFile());
        Files.write(directory.resolve("b.webp"), new byte[] {'R', 'I', 'F', 'F', 1, 2, 3});
        ImageIO.write(grey(30, 20, 1), "bmp", directory.resolve("c.bmp").toFile());
        for (String other : List.of("notes.txt", ".hidden.jpg", "noextension")) {
            Files.write(directory.resolve(other), new byte[] {1});
        }
        try (ImageDirectory camera = new ImageDirectory("photos", directory)) {
            assertThat(camera.notes()).singleElement().asString().contains("3 left out", "notes.txt", ".hidden.jpg");
            assertThat(camera.notes()).isEmpty();
            assertThat(Objects.requireNonNull(camera.next()).name()).isEqualTo("a");
            assertThatThrownBy(camera::next)
                    .isInstanceOf(UnreadableShotException.class)
                    .hasMessageContaining("b.webp cannot be read");
            assertThat(Objects.requireNonNull(camera.next()).name()).isEqualTo("c");
            assertThat(camera.next()).isNull();
        }
    }

    @Test
    void noTwoPicturesHaveOneName() throws Exception {
        for (String file : List.of("a.jpg", "a.png", "a.jpg.png", "b.jpg", "B.jpg", "c.JPG", "c.jpg", "IMG_1.jpg")) {
            Files.write(directory.resolve(file), new byte[] {1});
        }
        try (ImageDirectory camera = new ImageDirectory("photos", directory)) {
            assertThat(all(camera))
                    .extracting(Shot::name)
                    .containsExactly("B.jpg", "IMG_1", "a.jpg", "a.jpg.png", "a.png", "b.jpg~2", "c.JPG", "c.jpg~2");
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
