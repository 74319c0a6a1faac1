package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.PacketCamera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.VideoCamera;
import java.awt.image.BufferedImage;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Pictures of packets that are in memory in place of a topic. */
class PacketPicturesTest {
    private static final Path VIDEOS = Path.of("src", "test", "resources", "video");
    private static final Duration MINUTE = Duration.ofMinutes(1);

    private final List<VideoPacket> topic = new ArrayList<>();
    private long furthest;

    private Optional<VideoPacket> at(int partition, long offset) {
        furthest = Math.max(furthest, offset);
        return partition == 0 && offset < topic.size() ? Optional.of(topic.get((int) offset)) : Optional.empty();
    }

    private Optional<BufferedImage> picture(PacketPictures pictures, int offset) {
        return pictures.picture(topic.get(offset), 0, offset, 0, topic.size());
    }

    /** A camera changes from H.264 to H.265; key frames do not say that they are. */
    @Test
    void picturesAreFoundAloneAndInOrderAcrossAChangeOfCodec() throws Exception {
        List<byte[]> expected = new ArrayList<>();
        for (String name : List.of("h264.mp4", "h265.mkv")) {
            send(name);
            expected.addAll(shown(name));
        }
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < topic.size(); i++) {
            order.add(i);
        }
        order.sort((one, other) -> Long.compare(
                topic.get(one).getCaptureTimeMicros(), topic.get(other).getCaptureTimeMicros()));
        try (PacketPictures inOrder = new PacketPictures(this::at, true, MINUTE);
                PacketPictures single = new PacketPictures(this::at, false, MINUTE)) {
            for (int i = 0; i < order.size(); i++) {
                assertThat(picture(inOrder, order.get(i)).map(shown -> Images.jpeg(shown, 1)))
                        .as("picture %d", i)
                        .hasValue(expected.get(i));
                if (i % 7 == 3) {
                    assertThat(picture(single, order.get(i)).map(shown -> Images.jpeg(shown, 1)))
                            .hasValue(expected.get(i));
                }
            }
        }
    }

    @Test
    void aPictureThatNeverComesIsGivenUp() throws Exception {
        for (int i = 0; i < 10; i++) {
            send("h264.mp4");
        }
        VideoPacket damaged = VideoPacket.newBuilder(topic.get(7))
                .setData(ByteBuffer.wrap(new byte[100]))
                .build();
        topic.set(7, damaged);
        for (boolean inOrder : new boolean[] {true, false}) {
            try (PacketPictures pictures = new PacketPictures(this::at, inOrder, MINUTE)) {
                assertThat(picture(pictures, 7)).isEmpty();
            }
        }
        assertThat(furthest).isEqualTo(7 + 32);
        try (PacketPictures pictures = new PacketPictures(this::at, true, Duration.ZERO)) {
            assertThat(picture(pictures, 0)).isEmpty();
        }
    }

    private void send(String name) throws Exception {
        long start = topic.size() * 1_000_000L;
        try (PacketCamera camera =
                new PacketCamera("camera", VIDEOS.resolve(name).toString())) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                topic.add(VideoPacket.newBuilder()
                        .setCameraId("camera")
                        .setSequence(topic.size())
                        .setCaptureTimeMicros(start + shot.position().toNanos() / 1000)
                        .setCaptureClock(CaptureClock.PUBLISHER)
                        .setCodec(VideoCodec.valueOf(shot.format().toUpperCase(Locale.ROOT)))
                        .setKeyFrame(false)
                        .setData(ByteBuffer.wrap(shot.image()))
                        .build());
            }
        }
    }

    private static List<byte[]> shown(String name) throws Exception {
        List<byte[]> shown = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", VIDEOS.resolve(name).toString(), JpegFormat.of(1))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                shown.add(shot.image());
            }
        }
        return shown;
    }
}
