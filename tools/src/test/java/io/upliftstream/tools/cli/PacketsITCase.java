package io.upliftstream.tools.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Shown;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.camera.VideoCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.CameraFrames;
import io.upliftstream.tools.stream.FrameImages;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Packets of videos through {@code uplift publish} and {@code consume}, without a job. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class PacketsITCase {
    private static final Path VIDEOS = Path.of("src", "test", "resources", "video");
    private static final long START = Instant.parse("2026-03-01T12:00:00Z").getEpochSecond() * 1_000_000;
    private static final int PICTURES = 30;

    @TempDir
    private Path directory = Path.of(".");

    private final StringWriter errors = new StringWriter();

    /** H.264 in an MP4, H.265 in a Matroska, H.264 with open groups in a transport stream, H.264 of ten bits. */
    @Test
    void packetsComeBackAsTheFileHasThem() throws Exception {
        List<String> files = List.of("h264.mp4", "h265.mkv", "h264.ts", "ten-bit.mp4");
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            for (String form : List.of("avro", "bare")) {
                Topics topics = Topics.create(kafka, form, 1, 1 << 20);
                List<String> publish =
                        new ArrayList<>(List.of("publish", "--packets", "--rate=max", "--start=2026-03-01T12:00:00Z"));
                files.forEach(file -> publish.add("--input=" + file + "=" + VIDEOS.resolve(file)));
                if (form.equals("bare")) {
                    publish.add("--bare");
                }
                uplift(topics, publish.toArray(String[]::new));
                Path output = directory.resolve(form);
                uplift(topics, "consume", "frames", "--format=mp4", "--output=" + output);
                for (String file : files) {
                    assertSame(output.resolve(file + ".mp4"), VIDEOS.resolve(file));
                }
                uplift(topics, "consume", "frames", "--format=image", "--output=" + output);
                assertThat(output)
                        .isDirectoryContaining("glob:**/h265.mkv_000029.h265")
                        .isDirectoryContaining("glob:**/h264.ts_000000.h264");
                if (form.equals("avro")) {
                    assertPackets(topics, files);
                }
            }
        }
    }

    @Test
    void picturesAreEncodedWhereThereAreNoPackets() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "encoded", 1, 1 << 20);
            uplift(
                    topics,
                    "publish",
                    "--packets",
                    "--encode=h264",
                    "--rate=max",
                    "--limit=60",
                    "--size=160x96",
                    "--input=synthetic:20500",
                    "--input=" + VIDEOS.resolve("h265.mkv"));
            uplift(topics, "consume", "frames", "--format=mp4", "--output=" + directory);
            List<VideoPacket> packets = topics.read("camera-frames", "read_committed", VideoPacket.class).stream()
                    .filter(packet -> packet.getCameraId().equals("street-20500"))
                    .toList();
            assertThat(packets).extracting(VideoPacket::getCodec).containsOnly(VideoCodec.H264);
            assertThat(packets.stream().filter(VideoPacket::getKeyFrame).map(VideoPacket::getSequence))
                    .startsWith(0L)
                    .hasSizeBetween(2, 4);
        }
        assertSame(directory.resolve("h265.mp4"), VIDEOS.resolve("h265.mkv"));
        List<Shot> shots = shots(directory.resolve("street-20500.mp4"));
        assertThat(shots).hasSize(60);
        try (SyntheticCamera street = new SyntheticCamera("street", 20_500, 160, 96, 10, 0.92)) {
            for (Shot shot : shots) {
                assertThat(difference(
                                Images.decode(shot.image()),
                                Images.decode(street.next().image())))
                        .as(shot.name())
                        .isLessThan(6);
            }
        }
    }

    /** Mean over all pixels of green, of 255. */
    private static double difference(BufferedImage one, BufferedImage other) {
        long sum = 0;
        for (int y = 0; y < one.getHeight(); y++) {
            for (int x = 0; x < one.getWidth(); x++) {
                sum += Math.abs((one.getRGB(x, y) >> 8 & 0xff) - (other.getRGB(x, y) >> 8 & 0xff));
            }
        }
        return (double) sum / (one.getWidth() * one.getHeight());
    }

    private static void assertPackets(Topics topics, List<String> files) throws IOException {
        List<VideoPacket> packets = topics.read("camera-frames", "read_committed", VideoPacket.class);
        assertThat(packets).hasSize(files.size() * PICTURES);
        for (String file : files) {
            List<VideoPacket> own = packets.stream()
                    .filter(packet -> packet.getCameraId().equals(file))
                    .toList();
            assertThat(own).extracting(VideoPacket::getSequence).isSorted();
            assertThat(own.stream().map(VideoPacket::getCaptureTimeMicros).sorted())
                    .allSatisfy(micros -> assertThat(micros - START).isBetween(0L, 967_000L));
            assertThat(own.get(0).getKeyFrame()).isTrue();
            assertThat(own.get(0).getCodec()).isEqualTo(file.startsWith("h265") ? VideoCodec.H265 : VideoCodec.H264);
            assertEveryGroupDecodes(own);
            Map<Long, BufferedImage> pictures = pictures(own);
            assertThat(pictures.values())
                    .extracting(picture -> Images.jpeg(picture, 1))
                    .containsExactlyElementsOf(shots(VIDEOS.resolve(file)).stream()
                            .map(Shot::image)
                            .toList());
            assertFound(topics, own, pictures);
        }
    }

    /** From each key frame on, nothing before it is needed: the parameter sets are with it. */
    private static void assertEveryGroupDecodes(List<VideoPacket> packets) {
        for (int i = 0; i < packets.size(); i++) {
            if (packets.get(i).getKeyFrame()) {
                assertThat(pictures(packets.subList(i, packets.size()))).isNotEmpty();
            }
        }
    }

    /** A picture is found by the place of its packet, in the order of results and alone. */
    private static void assertFound(Topics topics, List<VideoPacket> packets, Map<Long, BufferedImage> pictures) {
        List<VideoPacket> all = topics.read("camera-frames", "read_committed", VideoPacket.class);
        List<VideoPacket> shown = new ArrayList<>(packets);
        shown.sort(Comparator.comparing(VideoPacket::getCaptureTimeMicros));
        try (FrameImages inOrder = FrameImages.inOrder(topics.settings());
                FrameImages single = FrameImages.single(topics.settings())) {
            for (VideoPacket packet : shown) {
                SourcePosition place =
                        new SourcePosition(topics.name("camera-frames"), 0, (long) all.indexOf(packet), 0L);
                byte[] expected = Images.jpeg(requireNonNull(pictures.get(packet.getCaptureTimeMicros())), 0.95);
                assertThat(inOrder.image(place)).as("%s", place).hasValue(expected);
                if (packet.getSequence() % 7 == 3) {
                    assertThat(single.image(place)).as("%s", place).hasValue(expected);
                }
            }
        }
    }

    /** The pictures of packets by their capture times. */
    private static Map<Long, BufferedImage> pictures(List<VideoPacket> packets) {
        Map<Long, BufferedImage> pictures = new TreeMap<>();
        Codec codec = Codec.valueOf(packets.get(0).getCodec().name());
        List<Shown> shown = new ArrayList<>();
        try (VideoDecoder decoder = new VideoDecoder(codec, 1_000_000)) {
            for (VideoPacket packet : packets) {
                shown.addAll(
                        decoder.decode(packet.getCaptureTimeMicros(), CameraFrames.unit(packet), false, all -> true)
                                .shown());
            }
            shown.addAll(decoder.flush(all -> true));
            shown.stream()
                    .filter(each -> each.picture() != null)
                    .forEach(each -> pictures.put(each.packet(), Images.upright(requireNonNull(each.picture()))));
        }
        return pictures;
    }

    private static void assertSame(Path copy, Path original) throws IOException {
        List<Shot> copied = shots(copy);
        List<Shot> expected = shots(original);
        assertThat(copied).as("%s", copy).hasSize(PICTURES);
        for (int i = 0; i < PICTURES; i++) {
            assertThat(copied.get(i).image())
                    .as("picture %d of %s", i, copy)
                    .isEqualTo(expected.get(i).image());
            assertThat(copied.get(i).position().toNanos() / 1000)
                    .isCloseTo(expected.get(i).position().toNanos() / 1000, Offset.offset(20L));
        }
    }

    private static List<Shot> shots(Path video) throws IOException {
        List<Shot> shots = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", video.toString(), JpegFormat.of(1))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                shots.add(shot);
            }
        }
        return shots;
    }

    private void uplift(Topics topics, String... command) {
        String[] arguments = Stream.concat(
                        Stream.of(command), topics.assignments().stream().flatMap(set -> Stream.of("--set", set)))
                .toArray(String[]::new);
        assertThat(Uplift.run(arguments, new PrintWriter(errors, true)))
                .as(errors.toString())
                .isZero();
    }
}
