package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.camera.VideoCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.picture.Overlay;
import io.upliftstream.tools.picture.VideoFile;
import io.upliftstream.tools.stream.FileNames;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A video through {@code uplift publish}, as pictures and as packets, {@code run} and {@code consume}, and back a video.
 */
class VideoITCase {
    private static final int WIDTH = 160;
    private static final int HEIGHT = 96;

    @TempDir
    private Path directory = Path.of(".");

    private static final long START = Instant.parse("2026-03-01T12:00:00Z").getEpochSecond() * 1_000_000;

    private final StringWriter errors = new StringWriter();

    /** Times of a camera that is not quite regular, in microseconds. */
    private static final List<Long> TIMES = List.of(0L, 100_000L, 200_000L, 350_000L, 400_000L, 600_000L);

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void everyFrameComesBackAtItsTime() throws Exception {
        Path source = directory.resolve("street.mp4");
        film(source);
        assertThat(times(source)).isEqualTo(TIMES);
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "video", 2, 1 << 20);
            List<String> settings = topics.assignments();
            assertThat(uplift(
                            settings,
                            "publish",
                            "--rate=max",
                            "--start=2026-03-01T12:00:00Z",
                            "--input=yard=" + source,
                            "--input=gate=" + source))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift(
                            settings,
                            "publish",
                            "--packets",
                            "--rate=max",
                            "--start=2026-03-01T12:00:00Z",
                            "--input=lane=" + source))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift(settings, "run")).as(errors.toString()).isZero();
            assertThat(uplift(settings, "consume", "frames", "--format=mp4", "--camera=lane", "--output=" + directory))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift(settings, "consume", "segmentation", "--format=mp4", "--output=" + directory))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift(settings, "consume", "features", "--format=png", "--output=" + directory))
                    .as(errors.toString())
                    .isZero();
            assertThat(uplift(
                            settings,
                            "consume",
                            "depth",
                            "--format=npy",
                            "--camera=gate",
                            "--limit=2",
                            "--output=" + directory))
                    .as(errors.toString())
                    .isZero();
            for (String camera : List.of("yard", "lane")) {
                List<SegmentationRecord> records =
                        topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                                .filter(record ->
                                        record.getHeader().getCameraId().equals(camera))
                                .toList();
                assertThat(records)
                        .extracting(record -> record.getHeader().getCaptureTimeMicros())
                        .containsExactlyElementsOf(
                                TIMES.stream().map(time -> START + time).toList());
                assertShows(directory.resolve(camera + ".segmentation.mp4"), source, records);
            }
        }
        assertThat(times(directory.resolve("lane.mp4"))).isEqualTo(TIMES);
        assertThat(directory)
                .isDirectoryContaining("glob:**/legend.png")
                .isDirectoryContaining("glob:**/gate_000001.depth.npy")
                .isDirectoryNotContaining("glob:**/gate_000002.depth.npy")
                .isDirectoryNotContaining("glob:**/yard_*.npy");
        for (String camera : List.of("yard", "gate", "lane")) {
            byte[] last = Files.readAllBytes(directory.resolve(camera + "_000005.features.png"));
            assertThat(Images.decode(last).getWidth()).isEqualTo(WIDTH);
            assertThat(times(directory.resolve(camera + ".segmentation.mp4"))).isEqualTo(TIMES);
        }
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.MINUTES)
    void framesOfATopicBecomeFilesByteForByte() throws Exception {
        byte[] jpeg = Images.jpeg(new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB), 0.8);
        byte[] png = Images.png(new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_BYTE_GRAY));
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "frames", 1, 1 << 20);
            topics.send(
                    0,
                    "yard",
                    SingleObject.encode(Topics.frame("gate/2", 7, png).build()));
            topics.send(0, "yard", jpeg);
            topics.send(0, null, png);
            topics.send(0, "other", jpeg);
            assertThat(uplift(
                            topics.assignments(),
                            "consume",
                            "frames",
                            "--format=image",
                            "--camera=gate/2",
                            "--camera=yard",
                            "--camera=partition-0",
                            "--output=" + directory))
                    .as(errors.toString())
                    .isZero();
            topics.send(0, "yard", new byte[] {1, 2, 3});
            assertThat(uplift(topics.assignments(), "consume", "frames", "--format=image", "--output=" + directory))
                    .as("one value is no frame")
                    .isOne();
        }
        assertThat(directory.resolve(FileNames.of("gate/2") + "_000007.png")).hasBinaryContent(png);
        assertThat(directory.resolve("yard_000001.jpg")).hasBinaryContent(jpeg);
        assertThat(directory.resolve("partition-0_000002.png")).hasBinaryContent(png);
        assertThat(directory.resolve("other_000003.jpg")).hasBinaryContent(jpeg);
        assertThat(uplift(List.of(), "consume", "frames", "--format=png")).isEqualTo(2);
        assertThat(errors.toString()).contains("--format: png of frames (expected: json or mp4 or image)");
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.MINUTES)
    void followingGoesOnWithWhatComes() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "follow", 1, 1 << 20);
            send(topics, 0);
            AtomicInteger exitCode = new AtomicInteger(-1);
            Thread consume = new Thread(() -> exitCode.set(uplift(
                    topics.assignments(), "consume", "frames", "--format=image", "--follow", "--output=" + directory)));
            consume.start();
            for (int sequence = 1; sequence <= 2; sequence++) {
                Path last = directory.resolve("yard_%06d.png".formatted(sequence - 1));
                while (Files.notExists(last) && consume.isAlive()) {
                    Thread.onSpinWait();
                }
                assertThat(last).as(errors.toString()).exists();
                send(topics, sequence);
            }
            while (Files.notExists(directory.resolve("yard_000002.png")) && consume.isAlive()) {
                Thread.onSpinWait();
            }
            assertThat(consume.isAlive()).as("only Ctrl-C ends it").isTrue();
            consume.interrupt();
            consume.join();
            assertThat(exitCode).as(errors.toString()).hasValue(0);
        }
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.MINUTES)
    void fromLatestLeavesOutWhatWasThere() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "latest", 1, 1 << 20);
            send(topics, 0);
            AtomicInteger exitCode = new AtomicInteger(-1);
            Thread consume = new Thread(() -> exitCode.set(uplift(
                    topics.assignments(),
                    "consume",
                    "frames",
                    "--format=image",
                    "--from=latest",
                    "--limit=2",
                    "--output=" + directory)));
            consume.start();
            for (int sequence = 1; consume.isAlive(); sequence++) { // until it has begun and seen two
                send(topics, sequence);
            }
            assertThat(exitCode).as(errors.toString()).hasValue(0);
        }
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files.map(file -> file.getFileName().toString()).sorted())
                    .hasSize(2)
                    .doesNotContain("yard_000000.png");
        }
    }

    private static void send(Topics topics, long sequence) throws Exception {
        byte[] png = Images.png(new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_BYTE_GRAY));
        topics.send(
                0,
                "yard",
                SingleObject.encode(Topics.frame("yard", sequence, png).build()));
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.MINUTES)
    void stoppingKeepsWhatWasSent() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "stop", 1, 1 << 20);
            AtomicInteger exitCode = new AtomicInteger(-1);
            Thread publish = new Thread(() -> exitCode.set(
                    uplift(topics.assignments(), "publish", "--input=synthetic", "--size=80", "--rate=200")));
            publish.start();
            while (frames(topics).size() < 3 && publish.isAlive()) {
                Thread.onSpinWait();
            }
            publish.interrupt();
            publish.join();
            assertThat(exitCode).as(errors.toString()).hasValue(0);
            List<Long> sequences = frames(topics);
            assertThat(sequences)
                    .isEqualTo(LongStream.range(0, sequences.size()).boxed().toList());
        }
    }

    private static List<Long> frames(Topics topics) {
        return topics.read("camera-frames", "read_uncommitted", CameraFrame.class).stream()
                .map(CameraFrame::getSequence)
                .toList();
    }

    /** That every picture is the source's frame under its own record's classes. */
    private static void assertShows(Path overlays, Path source, List<SegmentationRecord> records) throws Exception {
        int[] palette = Overlay.palette(ModelBundle.load(Topics.BUNDLE).labels());
        List<BufferedImage> shown = pictures(overlays);
        List<BufferedImage> frames = pictures(source);
        for (int i = 0; i < records.size(); i++) {
            SegmentationRecord record = records.get(i);
            Grid grid = Grid.of(record.getHeader().getGeometry().orElseThrow());
            BufferedImage expected =
                    Overlay.segmentation(frames.get(i), MaskCodec.decode(record.getMask()), grid, palette);
            assertThat(difference(shown.get(i), expected)).as("frame %d", i).isLessThan(12);
            assertThat(difference(shown.get(i), frames.get(i)))
                    .as("tint of frame %d", i)
                    .isGreaterThan(20);
        }
    }

    /** Mean over all pixels and colours, of 255. */
    private static double difference(BufferedImage one, BufferedImage other) {
        long sum = 0;
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                for (int shift = 0; shift <= 16; shift += 8) {
                    sum += Math.abs((one.getRGB(x, y) >> shift & 0xff) - (other.getRGB(x, y) >> shift & 0xff));
                }
            }
        }
        return sum / (3.0 * WIDTH * HEIGHT);
    }

    private static List<BufferedImage> pictures(Path video) throws IOException {
        List<BufferedImage> pictures = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", video.toString(), JpegFormat.of(0.95))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                pictures.add(Images.decode(shot.image()));
            }
        }
        return pictures;
    }

    /** When each frame is shown, in microseconds. */
    private static List<Long> times(Path video) throws IOException {
        List<Long> times = new ArrayList<>();
        try (VideoCamera camera = new VideoCamera("read", video.toString(), JpegFormat.of(0.95))) {
            for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
                times.add(shot.position().toNanos() / 1000);
            }
        }
        return times;
    }

    private int uplift(List<String> settings, String... command) {
        String[] arguments = Stream.concat(
                        Stream.of(command), settings.stream().flatMap(setting -> Stream.of("--set", setting)))
                .toArray(String[]::new);
        return Uplift.run(arguments, new PrintWriter(errors, true));
    }

    private static void film(Path file) throws IOException {
        try (SyntheticCamera street = new SyntheticCamera("street", 20_500, WIDTH, HEIGHT, 10, 0.9);
                VideoFile video = new VideoFile(file, WIDTH, HEIGHT)) {
            for (long micros : TIMES) {
                video.add(Images.decode(street.next().image()), micros);
            }
        }
    }
}
