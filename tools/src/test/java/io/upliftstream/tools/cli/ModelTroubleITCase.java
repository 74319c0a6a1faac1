package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.IntUnaryOperator;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A TorchScript model inside the job that throws, answers with infinity, takes more memory than there is, hangs, and crashes
 * the process. The last two are tried in processes of their own.
 */
class ModelTroubleITCase {
    /** What its upsampler does depends on a frame's first byte. */
    static final Path TINY = Path.of("..", "model", "src", "test", "resources", "tiny");

    private static final int CRASHES = 250;
    private static final int INFINITY = 251;
    static final int HANGS = 252;
    private static final int THROWS = 253;
    private static final int TOO_MUCH_IN_A_BATCH = 254;

    private static EmbeddedKafka kafka;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @BeforeAll
    static void start() throws IOException {
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void stop() throws IOException {
        kafka.close();
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void onlyTheGuiltyFramesFailAndTheJobRunsOn() throws Exception {
        int frames = 60;
        Topics topics = Topics.create(kafka, "trouble", 1, 1 << 20);
        publish(topics, frames, sequence -> switch (sequence % 10) {
            case 3 -> THROWS;
            case 5 -> INFINITY;
            case 8 -> TOO_MUCH_IN_A_BATCH;
            default -> sequence;
        });

        Topics.runWithoutRestart(topics.settings(options("uplift.model.max-batch=4")));

        Map<Long, String> failed = new TreeMap<>();
        for (long ten = 0; ten < frames; ten += 10) {
            failed.put(ten + 3, "MODEL_FAILED");
            failed.put(ten + 5, "NON_FINITE_OUTPUT");
        }
        assertAccount(topics, frames, failed);
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aCallThatHangsCostsItsFrameAndAnotherWorkerTakesOver() throws Exception {
        Topics topics = Topics.create(kafka, "hang", 1, 1 << 20);
        publish(topics, 12, sequence -> sequence == 4 ? HANGS : sequence);

        UpliftProcess ended = run(topics, "restart-strategy.type=none");

        assertThat(ended.exitCode()).as(ended.output()).isZero();
        assertAccount(topics, 12, Map.of(4L, "TIMEOUT"));
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aSecondCallThatHangsEndsTheProcess() throws Exception {
        Topics topics = Topics.create(kafka, "hangs", 1, 1 << 20);
        publish(topics, 12, sequence -> sequence == 4 || sequence == 6 ? HANGS : sequence);

        UpliftProcess ended = run(topics);

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(75);
        assertThat(ended.output()).contains("two calls of the model hang");
    }

    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void aFrameThatCrashesTheProcessIsQuarantined() throws Exception {
        Topics topics = Topics.create(kafka, "crash", 1, 1 << 20);
        publish(topics, 12, sequence -> sequence == 4 ? CRASHES : sequence);

        int crashes = 0;
        for (UpliftProcess ended = run(topics); ended.exitCode() != 0; ended = run(topics)) {
            assertThat(ended.output()).contains("SIGSEGV");
            assertThat(++crashes).as("once at first, twice at the frame alone").isLessThanOrEqualTo(3);
        }

        assertThat(crashes).isEqualTo(3);
        assertAccount(topics, 12, Map.of(4L, "QUARANTINED"));
    }

    /** One run of {@code uplift run}, which goes on where its group left off. */
    private UpliftProcess run(Topics topics, String... more) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("run"));
        List<String> assignments = topics.assignments(options(
                "uplift.kafka.timeout=2 min",
                "uplift.model.timeout=3 s",
                "uplift.checkpoint.interval=5 min", // none completes before the end
                "uplift.quarantine.restarts=1",
                "uplift.quarantine.directory=" + directory.resolve("quarantine")));
        assignments.addAll(List.of(more));
        assignments.forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        return UpliftProcess.run(directory, arguments);
    }

    private static String[] options(String... more) {
        return Stream.concat(
                        Stream.of("uplift.model.bundle=" + TINY.toAbsolutePath().normalize()), Stream.of(more))
                .toArray(String[]::new);
    }

    private static void publish(Topics topics, int frames, IntUnaryOperator firstByte) throws Exception {
        for (int sequence = 0; sequence < frames; sequence++) {
            topics.send(
                    0,
                    "north",
                    SingleObject.encode(Topics.frame("north", sequence, image(firstByte.applyAsInt(sequence)))
                            .build()));
        }
    }

    /** Each frame ended once: with its failure's reason where one is given, else with a result, in order. */
    private static void assertAccount(Topics topics, int frames, Map<Long, String> failed) {
        assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                .extracting(failure -> Map.entry(failure.getHeader().getSequence(), failure.getReason()))
                .containsExactlyElementsOf(new TreeMap<>(failed).entrySet());
        assertThat(topics.read("segmentation", "read_committed", SegmentationRecord.class))
                .extracting(record -> record.getHeader().getSequence())
                .containsExactlyElementsOf(LongStream.range(0, frames)
                        .boxed()
                        .filter(sequence -> !failed.containsKey(sequence))
                        .toList());
    }

    /** Of the model's own size, so that its first byte reaches the model as it is. */
    static byte[] image(int firstByte) throws IOException {
        BufferedImage image = new BufferedImage(16, 8, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, firstByte << 16);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        return png.toByteArray();
    }
}
