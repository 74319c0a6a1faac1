package io.upliftstream.tools.traffic;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.traffic.LosslessH264.Packet;
import io.upliftstream.tools.traffic.LosslessH264.Structure;
import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.javacv.FFmpegFrameGrabber;
import org.bytedeco.javacv.Frame;
import org.bytedeco.javacv.FrameGrabber;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LosslessH264Test {
    private static final int WIDTH = 70;
    private static final int HEIGHT = 54;
    private static final int PICTURES = 40;

    @TempDir
    private Path directory = Path.of(".");

    @ParameterizedTest
    @CsvSource({
        "1, 0, false",
        "1, 2, false",
        "7, 0, false",
        "7, 2, false",
        "12, 1, false",
        "250, 3, false",
        "8, 2, true",
        "1, 2, true",
        "5, 0, true"
    })
    void decoderGivesEveryPictureInOrder(int group, int bFrames, boolean openGroups) throws Exception {
        List<byte[]> pictures = pictures();
        LosslessH264.Video video =
                LosslessH264.encode(WIDTH, HEIGHT, new Structure(group, bFrames, openGroups), pictures);
        List<Packet> packets = video.packets();
        assertThat(packets)
                .extracting(Packet::picture)
                .containsExactlyInAnyOrderElementsOf(
                        LongStream.range(0, PICTURES).boxed().toList());
        assertThat(packets.stream().filter(Packet::keyFrame).map(Packet::picture))
                .allMatch(number -> number % group == 0)
                .hasSize((PICTURES + group - 1) / group);

        Path file = directory.resolve("video.h264");
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        stream.writeBytes(video.parameterSets());
        packets.forEach(packet -> stream.writeBytes(packet.data()));
        Files.write(file, stream.toByteArray());
        List<byte[]> decoded = decode(file);
        assertThat(decoded).hasSize(PICTURES);
        for (int i = 0; i < PICTURES; i++) {
            assertThat(decoded.get(i)).as("picture %d", i).isEqualTo(pictures.get(i));
        }
    }

    /** A block moves over noise; parts of the noise change now and then. */
    private static List<byte[]> pictures() {
        Random random = new Random(7);
        byte[] planes = new byte[WIDTH * HEIGHT * 3 / 2];
        random.nextBytes(planes);
        List<byte[]> pictures = new ArrayList<>();
        for (int i = 0; i < PICTURES; i++) {
            if (i % 4 == 0) {
                planes[random.nextInt(planes.length)] ^= 0x55;
            }
            byte[] picture = planes.clone();
            for (int y = 10; y < 20; y++) {
                Arrays.fill(picture, y * WIDTH + i, y * WIDTH + i + 10, (byte) 0);
            }
            pictures.add(picture);
        }
        return pictures;
    }

    private static List<byte[]> decode(Path file) throws FrameGrabber.Exception {
        List<byte[]> pictures = new ArrayList<>();
        try (FFmpegFrameGrabber grabber = new FFmpegFrameGrabber(file.toFile())) {
            grabber.setImageMode(FrameGrabber.ImageMode.RAW);
            grabber.start();
            for (Frame frame = grabber.grabImage(); frame != null; frame = grabber.grabImage()) {
                pictures.add(planes((AVFrame) frame.opaque));
            }
        }
        return pictures;
    }

    private static byte[] planes(AVFrame frame) {
        byte[] planes = new byte[WIDTH * HEIGHT * 3 / 2];
        int at = 0;
        for (int plane = 0; plane < 3; plane++) {
            int width = plane == 0 ? WIDTH : WIDTH / 2;
            int height = plane == 0 ? HEIGHT : HEIGHT / 2;
            for (int y = 0; y < height; y++, at += width) {
                frame.data(plane).position((long) y * frame.linesize(plane)).get(planes, at, width);
            }
            frame.data(plane).position(0);
        }
        return planes;
    }
}
