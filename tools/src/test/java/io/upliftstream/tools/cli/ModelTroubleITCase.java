package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.JobCommands;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.IntUnaryOperator;
import java.util.stream.LongStream;
import java.util.stream.Stream;
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

        Commands ended = run(topics, "restart-strategy.type=none");

        assertThat(ended.exitCode()).as(ended.output()).isZero();
        assertAccount(topics, 12, Map.of(4L, "TIMEOUT"));
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aSecondCallThatHangsEndsTheProcess() throws Exception {
        Topics topics = Topics.create(kafka, "hangs", 1, 1 << 20);
        publish(topics, 12, sequence -> sequence == 4 || sequence == 6 ? HANGS : sequence);

        Commands ended = run(topics);

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(75);
        assertThat(ended.output()).contains("two calls of the model hang");
    }

    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void aFrameThatCrashesTheProcessIsQuarantined() throws Exception {
        Topics topics = Topics.create(kafka, "crash", 1, 1 << 20);
        publish(topics, 12, sequence -> sequence == 4 ? CRASHES : sequence);

        int crashes = 0;
        for (Commands ended = run(topics); ended.exitCode() != 0; ended = run(topics)) {
            assertThat(ended.output()).contains("SIGSEGV");
            assertThat(++crashes).as("once at first, twice at the frame alone").isLessThanOrEqualTo(3);
        }

        assertThat(crashes).isEqualTo(3);
        assertAccount(topics, 12, Map.of(4L, "QUARANTINED"));
    }

    /** A command's bundle whose warm-up, a frame of zeros, never comes back: golden frames are answered as they should be. */
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aBundleThatHangsInItsWarmUpIsRefusedAndTheOldOneServesOn() throws Exception {
        Topics topics = Topics.create(kafka, "warm-up", 1, 1 << 20);
        kafka.createTopic("warm-up-control", 1, Map.of());
        kafka.createTopic("warm-up-answers", 1, Map.of());
        String[] control = {
            "uplift.input.stop=never",
            "uplift.model.max-batch=2",
            "uplift.checkpoint.interval=500 ms",
            "uplift.control.topic=warm-up-control",
            "uplift.control.answers=warm-up-answers",
            "uplift.control.load-timeout=30 s",
            "uplift.control.bundles.allowed=" + directory
        };
        Path bundle = TinyBundle.copy(directory, "hangs");
        TinyBundle.edit(bundle, "cpu-fp32/upsampler.pt", code -> code.replace("(first, 252)", "(first, 0  )"));
        publish(topics, 4, sequence -> sequence + 1);
        Path output = directory.resolve("warm-up.log");
        Process run = Commands.start(directory, output, List.of(), arguments(topics, control));
        try {
            awaitResults(topics, 4, run, output);
            ModelCommand command = JobCommands.command(ModelAction.ACTIVATE)
                    .setBundle(bundle.toString())
                    .setSha256(ModelBundle.load(bundle).sha256())
                    .build();
            assertThat(new JobCommands(topics.settings(control)).send(command, Duration.ofMinutes(2)))
                    .singleElement()
                    .satisfies(answer -> {
                        assertThat(answer.getOutcome()).isEqualTo(ModelOutcome.REFUSED);
                        assertThat(answer.getModel()).isEqualTo("tiny 1.0.0");
                        assertThat(answer.getReason().orElseThrow())
                                .contains("not loaded, checked and warm within 30 s (expected: in time");
                    });
            publish(topics, 4, sequence -> sequence + 1);
            awaitResults(topics, 8, run, output);
        } finally {
            run.destroyForcibly();
        }
    }

    private static void awaitResults(Topics topics, int frames, Process run, Path output) throws Exception {
        while (topics.read("segmentation", "read_committed", SegmentationRecord.class)
                        .size()
                < frames) {
            assertThat(run.waitFor(100, TimeUnit.MILLISECONDS))
                    .as(Files.readString(output))
                    .isFalse();
        }
    }

    /** One run of {@code uplift run}, which goes on where its group left off. */
    private Commands run(Topics topics, String... more) throws Exception {
        return Commands.run(directory, arguments(topics, more));
    }

    private List<String> arguments(Topics topics, String... more) {
        List<String> arguments = new ArrayList<>(List.of("run"));
        List<String> assignments = topics.assignments(options(
                "uplift.kafka.timeout=2 min",
                "uplift.model.timeout=3 s",
                "uplift.checkpoint.interval=4 min", // none completes before the end
                "uplift.quarantine.restarts=1",
                "uplift.quarantine.directory=" + directory.resolve("quarantine")));
        assignments.addAll(List.of(more));
        assignments.forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        return arguments;
    }

    private static String[] options(String... more) {
        return Stream.concat(Stream.of("uplift.model.bundle=" + TinyBundle.PATH), Stream.of(more))
                .toArray(String[]::new);
    }

    private static void publish(Topics topics, int frames, IntUnaryOperator firstByte) throws Exception {
        for (int sequence = 0; sequence < frames; sequence++) {
            topics.send(
                    0,
                    "north",
                    SingleObject.encode(
                            Topics.frame("north", sequence, TinyBundle.image(firstByte.applyAsInt(sequence)))
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
}
