package io.upliftstream.tools.camera;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.imageio.ImageIO;
import org.assertj.core.data.Offset;
import org.bytedeco.ffmpeg.global.avcodec;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class VideoTroubleTest {
    @TempDir
    private Path directory = Path.of(".");

    @ParameterizedTest
    @CsvSource({"avi, MPEG4", "matroska, MPEG4", "flv, FLV1", "mpegts, MPEG2VIDEO", "webm, VP8"})
    void aVideoThatIsCutOffSaysHowMuchWasRead(String format, String codec) throws Exception {
        Path whole = directory.resolve("whole");
        int id =
                switch (codec) {
                    case "FLV1" -> avcodec.AV_CODEC_ID_FLV1;
                    case "MPEG2VIDEO" -> avcodec.AV_CODEC_ID_MPEG2VIDEO;
                    case "VP8" -> avcodec.AV_CODEC_ID_VP8;
                    default -> avcodec.AV_CODEC_ID_MPEG4;
                };
        List<BufferedImage> pictures = Clips.noise();
        Clips.video(whole, format, id, pictures);
        try (VideoCamera camera = new VideoCamera("x", whole.toString(), JpegFormat.of(0.9))) {
            assertThat(Clips.all(camera)).hasSize(pictures.size());
        }
        byte[] bytes = Files.readAllBytes(whole);
        assertCut(Files.write(directory.resolve("cut"), Arrays.copyOf(bytes, bytes.length * 8 / 10)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"faststart", "frag_keyframe+empty_moov"})
    void anMp4ThatIsCutOffSaysHowMuchWasRead(String flags) throws Exception {
        Path whole = directory.resolve("whole.mp4");
        Clips.video(whole, "mp4", avcodec.AV_CODEC_ID_MPEG4, Clips.noise(), flags);
        byte[] bytes = Files.readAllBytes(whole);
        assertCut(Files.write(directory.resolve("cut.mp4"), Arrays.copyOf(bytes, bytes.length * 8 / 10)));
    }

    private static void assertCut(Path cut) throws IOException {
        try (VideoCamera camera = new VideoCamera("x", cut.toString(), JpegFormat.of(0.9))) {
            List<Shot> read = new ArrayList<>();
            assertThatThrownBy(() -> {
                        for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                            read.add(shot);
                        }
                    })
                    .isInstanceOf(UnreadableShotException.class)
                    .hasMessageMatching(
                            ".*cut(\\.mp4)? is not whole: .*(frames could be read|are damaged|last packet).*");
            assertThat(read).hasSizeBetween(1, 19);
            assertThat(camera.next()).as("then it is over").isNull();
        }
    }

    @Test
    void framesWithoutTimesGoOnAtTheRate() throws Exception {
        Path raw = directory.resolve("raw.h264");
        Clips.video(raw, "h264", avcodec.AV_CODEC_ID_H264, Clips.noise());
        try (VideoCamera camera = new VideoCamera("x", raw.toString(), JpegFormat.of(0.9))) {
            List<Shot> shots = Clips.all(camera);
            assertThat(shots).hasSize(20);
            long step = Math.round(1e6 / camera.framesPerSecond());
            for (int i = 0; i < shots.size(); i++) {
                assertThat(shots.get(i).position().toNanos() / 1000).isCloseTo(i * step, Offset.offset(1L));
            }
        }
    }

    /** Two recordings one behind the other, as a recorder leaves them that was switched off and on. */
    @Test
    void aStreamThatBeginsAgainOrChangesItsSizeGoesOn() throws Exception {
        Path first = directory.resolve("first.ts");
        Path second = directory.resolve("second.ts");
        Clips.video(first, "mpegts", avcodec.AV_CODEC_ID_H264, Clips.noise());
        List<BufferedImage> larger = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            larger.add(Clips.flat(96, 64, Color.GRAY));
        }
        Clips.video(second, "mpegts", avcodec.AV_CODEC_ID_H264, larger);
        Path both = directory.resolve("both.ts");
        Files.write(both, Files.readAllBytes(first));
        Files.write(both, Files.readAllBytes(second), StandardOpenOption.APPEND);
        try (VideoCamera camera = new VideoCamera("x", both.toString(), JpegFormat.of(0.9))) {
            List<Shot> shots = Clips.all(camera);
            assertThat(shots).hasSize(40);
            for (int i = 1; i < shots.size(); i++) {
                assertThat(shots.get(i)
                                .position()
                                .minus(shots.get(i - 1).position())
                                .toMillis())
                        .as("frame %d", i)
                        .isBetween(50L, 250L);
            }
            BufferedImage last = Images.decode(shots.get(39).image());
            assertThat(List.of(last.getWidth(), last.getHeight())).containsExactly(96, 64);
            assertThat(camera.notes()).singleElement().asString().contains("goes on at");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "2026-01-01T12:30:00.avi",
                "a:b.avi",
                "cam%03d.avi",
                "x?y#z.avi",
                "date=2026-01-01.avi",
                "北门 1.avi",
                "-dash.avi",
                "http:x.avi"
            })
    void aPathThatExistsIsAPath(String name) throws Exception {
        Path file = directory.resolve(name);
        Clips.video(file, "avi", avcodec.AV_CODEC_ID_MPEG4, List.of(Clips.corner()));
        String stem = name.replace(".avi", "");
        assertThat(CameraSource.parse(file.toString())).isEqualTo(new CameraSource(stem, file.toString()));
        assertThat(CameraSource.parse("東=口=" + file)).isEqualTo(new CameraSource("東=口", file.toString()));
        try (Camera camera = CameraSource.parse("gate=" + file).open(JpegFormat.of(0.9))) {
            assertThat(camera.id()).isEqualTo("gate");
            assertThat(Clips.all(camera)).hasSize(1);
        }
    }

    @Test
    void stillsWithOddNamesAreRead() throws Exception {
        for (String name : List.of("12:30.bmp", "shot%03d.bmp", "a[1].bmp", "100%.bmp", "a?b#c.bmp")) {
            ImageIO.write(Clips.corner(), "bmp", directory.resolve(name).toFile());
        }
        try (ImageDirectory camera = new ImageDirectory("photos", directory)) {
            assertThat(Clips.all(camera)).hasSize(5);
        }
    }
}
