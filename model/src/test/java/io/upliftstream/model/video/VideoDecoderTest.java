package io.upliftstream.model.video;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.video.VideoDecoder.Decoded;
import io.upliftstream.model.video.VideoDecoder.Shown;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VideoDecoderTest {
    private static final long MAX_PIXELS = 1_000_000;

    @ParameterizedTest
    @CsvSource({
        "long-b.h264, 60, 64, 48, 1, 0",
        "open.h264, 36, 64, 48, 1, 2",
        "intra.h264, 12, 64, 48, 12, 0",
        "interlaced.h264, 24, 64, 48, 2, 0",
        "ten-bit.h264, 24, 64, 48, 2, 0",
        "wide.h264, 24, 96, 64, 2, 0",
        "open.h265, 36, 64, 48, 1, 2",
        "closed.h265, 24, 64, 48, 2, 0",
        "ten-bit.h265, 24, 64, 48, 2, 0",
        "clip.av1, 24, 64, 48, 2, 0"
    })
    void everyPacketGivesItsPictureInTheOrderInWhichTheyAreShown(
            String name, int packets, int width, int height, int clean, int open) throws Exception {
        List<byte[]> clip = Clip.packets(name);
        assertThat(clip).hasSize(packets);
        List<AccessUnit> units = clip.stream()
                .map(packet -> AccessUnit.of(Clip.codec(name), packet))
                .toList();
        assertThat(units.stream().filter(AccessUnit::clean)).hasSize(clean);
        assertThat(units.stream().filter(AccessUnit::open)).hasSize(open);
        assertThat(units).allMatch(AccessUnit::picture);
        byte[] sets = units.get(0).parameterSets();
        assertThat(sets).isNotEmpty();
        assertThat(sets[sets.length - 1]).isNotZero();
        assertThat(AccessUnit.of(Clip.codec(name), sets).parameterSets()).isEqualTo(sets);
        if (Clip.codec(name) != AccessUnit.Codec.AV1) {
            assertThat(AccessUnit.codec(clip.get(0))).contains(Clip.codec(name));
        }

        List<Shown> shown = decode(name, clip, false);
        assertThat(shown.stream().map(Shown::packet))
                .containsExactlyInAnyOrderElementsOf(
                        LongStream.range(0, packets).boxed().toList());
        assertThat(shown).noneMatch(Shown::damaged).allSatisfy(each -> {
            assertThat(Objects.requireNonNull(each.picture()).width()).isEqualTo(width);
            assertThat(each.picture().height()).isEqualTo(height);
        });
        // testsrc2's picture changes from frame to frame: what is shown next is most like what was shown.
        assertThat(distance(shown, 1)).isLessThan(distance(shown, 3));
    }

    @Test
    void whatNoOtherPictureNeedsIsLeftOutWhereOnlyReferencesAreAskedFor() throws Exception {
        List<byte[]> clip = Clip.packets("long-b.h264");
        assertThat(decode("long-b.h264", clip, true).size()).isBetween(15, 45);
    }

    @Test
    void damageIsToldAndRandomBytesAreAProblemOfTheirPacket() throws Exception {
        List<byte[]> clip = Clip.packets("wide.h264");
        byte[] packet = clip.get(5);
        new Random(7).nextBytes(packet);
        try (VideoDecoder decoder = new VideoDecoder(AccessUnit.Codec.H264, MAX_PIXELS)) {
            boolean told = false;
            for (int i = 0; i < 12; i++) {
                Decoded decoded = decoder.decode(i, clip.get(i), false, unused -> true);
                told |= decoded.problem() != null || decoded.shown().stream().anyMatch(Shown::damaged);
            }
            assertThat(told).isTrue();
        }
    }

    @Test
    void picturesLargerThanTheLimitAreAProblem() throws Exception {
        try (VideoDecoder decoder = new VideoDecoder(AccessUnit.Codec.H264, 1000)) {
            Decoded decoded = decoder.decode(0, Clip.packets("wide.h264").get(0), false, unused -> true);
            assertThat(decoded.problem()).isNotNull();
            assertThat(decoded.shown()).isEmpty();
        }
    }

    private static List<Shown> decode(String name, List<byte[]> clip, boolean referencesOnly) {
        List<Shown> shown = new ArrayList<>();
        try (VideoDecoder decoder = new VideoDecoder(Clip.codec(name), MAX_PIXELS)) {
            for (int i = 0; i < clip.size(); i++) {
                Decoded decoded = decoder.decode(i, clip.get(i), referencesOnly, unused -> true);
                assertThat(decoded.problem()).isNull();
                shown.addAll(decoded.shown());
            }
            shown.addAll(decoder.flush(unused -> true));
            assertThat(decoder.bytes()).isPositive();
        }
        return shown;
    }

    private static long distance(List<Shown> shown, int apart) {
        long sum = 0;
        for (int i = 0; i + apart < shown.size(); i++) {
            var one = Objects.requireNonNull(shown.get(i).picture()).rgb();
            var other = Objects.requireNonNull(shown.get(i + apart).picture()).rgb();
            for (int at = 0; at < one.capacity(); at += 7) {
                sum += Math.abs((one.get(at) & 0xFF) - (other.get(at) & 0xFF));
            }
        }
        return sum / (shown.size() - apart);
    }
}
