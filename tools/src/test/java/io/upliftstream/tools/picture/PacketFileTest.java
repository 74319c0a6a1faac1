package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.PacketCamera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.VideoCamera;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PacketFileTest {
    private static final Path VIDEO = Path.of("src", "test", "resources", "video", "h264.mp4");

    /** Thirty pictures with B-frames; the clock steps back at the tenth and leaps ahead at the twentieth. */
    @Test
    void aClockThatLeapsGoesOnOneStepLater(@TempDir Path directory) throws Exception {
        List<Shot> packets = new ArrayList<>();
        try (PacketCamera camera = new PacketCamera("camera", VIDEO.toString())) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                packets.add(shot);
            }
        }
        long day = Duration.ofDays(1).toNanos() / 1000;
        byte[] first = packets.get(0).image();
        byte[] sets = AccessUnit.of(AccessUnit.Codec.H264, first).parameterSets();
        Path file = directory.resolve("leaps.mp4");
        try (PacketFile video = new PacketFile(file, VideoCodec.H264, sets, first, day)) {
            for (int i = 0; i < packets.size(); i++) {
                long clock = i < 10 ? day : i < 20 ? 0 : 100 * day;
                Shot packet = packets.get(i);
                video.add(
                        packet.image(), packet.key(), clock + packet.position().toNanos() / 1000);
            }
            assertThat(video.continued()).isEqualTo(2);
        }
        List<Duration> shown = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", file.toString(), JpegFormat.of(1))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                shown.add(shot.position());
            }
        }
        assertThat(shown).hasSameSizeAs(packets).isSorted();
        assertThat(shown.get(shown.size() - 1)).isBetween(Duration.ofMillis(700), Duration.ofMillis(1500));
    }
}
