package io.upliftstream.job;

import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** What tests of commands to the operator share: bundles that are real, and engines that a test answers for. */
abstract class ControlledTest extends OperatorTest {
    private static final Path TINY = Path.of("..", "model", "src", "test", "resources", "tiny");
    /** Of the frames that {@link TestFrames} makes. */
    static final long CAPTURED = TestFrames.RECORDED * 1000 - 5_000;

    final TestingControl control = new TestingControl();
    final Map<String, TestingEngine> engines = new ConcurrentHashMap<>();
    final CountDownLatch stuck = new CountDownLatch(1);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    Path directory;

    @BeforeEach
    void configured() throws IOException {
        bundle("one");
    }

    final OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> openControlled(
            int parallelism, int subtask, @Nullable OperatorSubtaskState state, String... more) throws Exception {
        String[] settings = Stream.concat(
                        Stream.of(
                                "uplift.model.bundle",
                                directory.resolve("one").toString(),
                                "uplift.control.topic",
                                "control",
                                "uplift.control.cache.directory",
                                directory.resolve("cache").toString()),
                        Stream.of(more))
                .toArray(String[]::new);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = new OneInputStreamOperatorTestHarness<>(
                new DenseInferenceOperator.Factory(
                        TestFrames.settings(settings),
                        again -> Map.of(),
                        Framing.SINGLE_OBJECT,
                        (given, task) -> open(given),
                        clock,
                        control),
                3,
                parallelism,
                subtask);
        if (state != null) {
            harness.initializeState(state);
        }
        opened.add(() -> {
            engines.values().forEach(TestingEngine::answerAll);
            harness.close();
        });
        harness.open();
        return harness;
    }

    /** The engine of a bundle, by the version in its manifest. */
    private FrameEngine open(JobSettings given) throws Exception {
        boolean configured = given.bundle().equals(directory.resolve("one"));
        String manifest = Files.readString(given.bundle().resolve("manifest.json"));
        String name = configured ? "configured" : manifest.replaceAll("(?s).*\"version\": \"([^\"]*)\".*", "$1");
        if (name.equals("refuses")) {
            throw new StartupException(StartupException.ENVIRONMENT, "the golden check fails");
        } else if (name.equals("hangs")) {
            stuck.await();
        }
        TestingEngine made = engine(name);
        made.model =
                new ModelIdentity("tiny", name, ModelBundle.load(given.bundle()).sha256(), "cpu-fp32");
        return made;
    }

    final TestingEngine engine(String name) {
        return engines.computeIfAbsent(name, unused -> new TestingEngine());
    }

    /** A copy of {@code tiny} under this version. */
    final Path bundle(String version) throws IOException {
        Path copy = directory.resolve(version);
        if (!Files.exists(copy)) {
            copyTiny(copy);
            Path manifest = copy.resolve("manifest.json");
            Files.writeString(manifest, Files.readString(manifest).replace("1.0.0", version));
        }
        return copy;
    }

    static void copyTiny(Path copy) throws IOException {
        try (Stream<Path> files = Files.walk(TINY)) {
            for (Path file : files.toList()) {
                Files.copy(file, copy.resolve(TINY.relativize(file).toString()));
            }
        }
    }

    final void deleteSources() throws IOException {
        for (String source : List.of("two", "three")) {
            Files.deleteIfExists(directory.resolve(source).resolve("manifest.json"));
        }
    }

    static ModelCommand.Builder activate(String id, Path bundle) throws IOException {
        return command(id, ModelAction.ACTIVATE)
                .setBundle(bundle.toString())
                .setSha256(BoundedText.sha256(Files.readAllBytes(bundle.resolve("manifest.json"))));
    }

    static ModelCommand.Builder command(String id, ModelAction action) {
        return ModelCommand.newBuilder().setId(id).setAction(action);
    }

    static RawFrame captured(String cameraId, long sequence, long micros) {
        RawFrame frame = TestFrames.cameraFrame(cameraId, sequence);
        var record = CameraFrame.newBuilder(TestFrames.record(cameraId, sequence))
                .setCaptureTimeMicros(micros)
                .build();
        return TestFrames.raw(frame.offset(), cameraId, SingleObject.encode(record));
    }

    static void await(OneInputStreamOperatorTestHarness<?, ?> harness, CompletableFuture<?> done) throws Exception {
        while (!done.isDone()) {
            runMails(harness);
        }
        done.join();
    }

    /** Sequence and model of the segmentation records. */
    static List<String> served(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "segmentation", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getSequence() + " "
                        + record.getHeader().getModel().orElseThrow().getVersion())
                .toList();
    }

    /** Command, outcome and model of the answers. */
    static List<String> answers(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "model-answers", ModelAnswer.class).stream()
                .map(answer -> answer.getCommandId() + " " + answer.getOutcome() + " "
                        + answer.getModel().replaceFirst("tiny ", ""))
                .toList();
    }
}
