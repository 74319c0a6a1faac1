package io.upliftstream.tools.demo;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.stream.FileNames;
import java.awt.image.BufferedImage;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Cameras, Kafka, Flink, the bundle: the whole way of a frame. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class DemoITCase {
    private static final Path BUNDLE = Path.of("..", "model", "bundles", "street");

    @Test
    void everyFrameOfTwoSyntheticCamerasHasItsResults(@TempDir Path output, @TempDir Path other) throws Exception {
        Path elsewhere = Files.writeString(other.resolve("elsewhere"), "mine");
        for (String link : List.of("summary.json", "contact-sheet.png")) {
            Files.createSymbolicLink(output.resolve(link), elsewhere);
        }
        AtomicBoolean deleted = new AtomicBoolean();
        Summary summary = Demo.run(options(null, false, 2, 4, output, ServingOptions.Mode.LOSSLESS), deleting(deleted));
        assertThat(deleted).as("frames were deleted before the drawing").isTrue();

        assertThat(summary.balanced()).as("%s", summary).isTrue();
        assertThat(summary.published()).isEqualTo(8);
        assertThat(summary.segmentation()).isEqualTo(8);
        assertThat(summary.features()).isEqualTo(8);
        assertThat(summary.depth()).isEqualTo(8);
        assertThat(summary.failures()).isZero();
        assertThat(summary.dropped()).isZero();
        assertThat(summary.pixelAccuracy()).isBetween(0.0, 1.0);
        assertThat(summary.meanIoU()).isBetween(0.0, 1.0);

        assertThat(elsewhere).as("what links led to").hasContent("mine");
        JsonNode json =
                new ObjectMapper().readTree(output.resolve("summary.json").toFile());
        assertThat(json.path("published").asInt()).isEqualTo(8);
        assertThat(json.path("framesPerSecond").asDouble()).isPositive();
        assertThat(json.path("latencyMillis").path("p99").asDouble())
                .isGreaterThanOrEqualTo(json.path("latencyMillis").path("p50").asDouble());
        assertThat(names(output.resolve("overlays"))).hasSize(8).contains("street-0_000000.png", "street-1_000003.png");
        BufferedImage overlay = Images.decode(Files.readAllBytes(output.resolve("overlays/street-0_000000.png")));
        assertThat(List.of(overlay.getWidth(), overlay.getHeight())).containsExactly(320, 180);
        assertThat(legendColours(output.resolve("contact-sheet.png")))
                .as("road, which every street has")
                .contains(0x804080);
    }

    @Test
    void directoryOfMixedImagesHasAResultOrAFailureForEach(@TempDir Path directory) throws Exception {
        Path input = Files.createDirectory(directory.resolve("mixed photos"));
        byte[] jpeg = shot(200, 120).image();
        Files.write(input.resolve("a.jpg"), jpeg);
        Files.write(
                input.resolve("b.PNG"), Images.png(Images.decode(shot(64, 300).image())));
        Files.write(input.resolve("broken.jpeg"), Arrays.copyOf(jpeg, 400));
        Files.writeString(input.resolve("notes.txt"), "no image");
        Summary summary = Demo.run(
                options(input, false, 1, null, directory.resolve("out"), ServingOptions.Mode.LOSSLESS, "features"),
                quiet());

        assertThat(summary.balanced()).as("%s", summary).isTrue();
        assertThat(summary.published()).isEqualTo(3);
        assertThat(summary.segmentation()).isEqualTo(2);
        assertThat(summary.failureReasons()).containsExactly(Map.entry("CORRUPT_IMAGE", 1L));
        assertThat(summary.meanIoU()).isNull();
        assertThat(Images.size(Files.readAllBytes(directory.resolve("out/contact-sheet.png"))).width)
                .as("columns for frame, segmentation and depth alone")
                .isBetween(3 * 360, 4 * 360);
        assertThat(names(directory.resolve("out/overlays")))
                .containsExactlyInAnyOrder(
                        FileNames.of("mixed photos") + "_000000.png", FileNames.of("mixed photos") + "_000001.png");
    }

    /** With B-frames, so that results come in another order than packets. */
    @Test
    void everyPacketOfAVideoHasItsResults(@TempDir Path output) throws Exception {
        Path input = Path.of("src", "test", "resources", "video", "h264.mp4");
        Summary summary =
                Demo.run(options(input, true, 1, 12, output, ServingOptions.Mode.LOSSLESS, "features"), quiet());

        assertThat(summary.balanced()).as("%s", summary).isTrue();
        assertThat(summary.published()).isEqualTo(12);
        assertThat(summary.segmentation()).isEqualTo(12);
        assertThat(summary.depth()).isEqualTo(12);
        assertThat(names(output.resolve("overlays"))).hasSize(12).contains("h264_000000.png", "h264_000011.png");
        assertThat(output.resolve("contact-sheet.png")).isNotEmptyFile();
    }

    @Test
    void liveModeCountsEveryFrameItDrops(@TempDir Path output) throws Exception {
        DemoOptions options = options(null, false, 2, 30, output, ServingOptions.Mode.LIVE);
        Summary summary = Demo.run(options, quiet());

        assertThat(summary.balanced()).as("%s", summary).isTrue();
        assertThat(summary.published()).isEqualTo(60);
        assertThat(summary.dropped()).isPositive();
        assertThat(summary.segmentation() + summary.failures() + summary.dropped())
                .isEqualTo(60);
        assertThat(summary.features()).isEqualTo(summary.segmentation());
    }

    /** What is below the last row of pictures: two or three rows of the legend. */
    private static Set<Integer> legendColours(Path sheet) throws Exception {
        BufferedImage image = Images.decode(Files.readAllBytes(sheet));
        return IntStream.range(image.getHeight() - 60, image.getHeight())
                .boxed()
                .flatMap(y -> IntStream.range(0, image.getWidth()).mapToObj(x -> image.getRGB(x, y) & 0xffffff))
                .collect(Collectors.toSet());
    }

    private static DemoOptions options(
            @Nullable Path input,
            boolean packets,
            int cameras,
            @Nullable Integer frames,
            Path output,
            ServingOptions.Mode mode,
            String... unwritten) {
        List<String> set = new ArrayList<>();
        for (String records : unwritten) {
            set.add("uplift.output." + records + ".topic=none");
        }
        if (mode == ServingOptions.Mode.LIVE) {
            set.add("uplift.max-age=20 ms"); // at a hundred frames a second no model here keeps up with that
        }
        return new DemoOptions(
                input, packets, cameras, frames, output, mode, BUNDLE, "cpu", "fp32", 320, 180, 100, 20_000, set, false,
                null);
    }

    private static Shot shot(int width, int height) {
        try (SyntheticCamera camera = new SyntheticCamera("photo", 20_300, width, height, 10, 0.9)) {
            return camera.next();
        }
    }

    /** Deletes the frames on the topic before their overlays are drawn, as a broker does with too many bytes. */
    private static Progress deleting(AtomicBoolean deleted) {
        StringBuilder said = new StringBuilder();
        OutputStream out = new OutputStream() {
            @Override
            public void write(int character) {
                said.append((char) character);
                if (said.toString().endsWith("\nDrawing")) {
                    delete(said.toString().replaceFirst("(?s).*Kafka at ([0-9.:]+).*", "$1"));
                    deleted.set(true);
                }
            }
        };
        return new Progress(new PrintStream(out, false, StandardCharsets.US_ASCII), 0);
    }

    private static void delete(String broker) {
        Map<TopicPartition, RecordsToDelete> all = Stream.of(0, 1)
                .collect(Collectors.toMap(
                        partition -> new TopicPartition("camera-frames", partition),
                        partition -> RecordsToDelete.beforeOffset(-1)));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            Object unused = admin.deleteRecords(all).all().get();
        } catch (InterruptedException | ExecutionException e) {
            throw new AssertionError(e);
        }
    }

    private static Progress quiet() {
        return new Progress(new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8), 0);
    }

    private static List<String> names(Path directory) throws Exception {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }
}
