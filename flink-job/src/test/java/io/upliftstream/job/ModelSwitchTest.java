package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.util.AbstractStreamOperatorTestHarness;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands to the operator, with bundles that are real and engines that a test answers for. */
class ModelSwitchTest extends OperatorTest {
    private static final Path TINY = Path.of("..", "model", "src", "test", "resources", "tiny");
    /** Of the frames that {@link TestFrames} makes. */
    private static final long CAPTURED = TestFrames.RECORDED * 1000 - 5_000;

    private final TestingControl control = new TestingControl();
    private final Map<String, TestingEngine> engines = new ConcurrentHashMap<>();
    private final CountDownLatch stuck = new CountDownLatch(1);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @BeforeEach
    void configured() throws IOException {
        bundle("one");
    }

    @Test
    void anotherModelTakesTheFramesFromNowOnAndTheOldOneIsClosedAfterItsLast() throws Exception {
        var harness = openControlled(1, 0, null);
        process(harness, TestFrames.cameraFrame("north", 0));
        CompletableFuture<?> done = control.send(activate("c-1", bundle("two")));
        await(harness, done);
        process(harness, TestFrames.cameraFrame("north", 1));
        engine("two").answer(0);
        runMails(harness);
        assertThat(results(harness)).as("in order of the camera").isEmpty();
        assertThat(engine("configured").closed).isFalse();

        engine("configured").answer(0);
        runMails(harness);

        assertThat(served(harness)).containsExactly("0 configured", "1 two");
        assertThat(answers(harness)).containsExactly("c-1 ACTIVATED two");
        while (!engine("configured").closed) {
            Thread.onSpinWait();
        }
    }

    @Test
    void framesFromACaptureTimeOnGoToTheNewModelAndOthersToTheOld() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two")).setFromCaptureTimeMicros(CAPTURED + 1)));
        engine("two").answerAll();
        engine("configured").answerAll();
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, captured("north", 1, CAPTURED + 1));
        process(harness, TestFrames.cameraFrame("south", 2));
        clock.millis = TestFrames.RECORDED + 61_000;
        process(harness, captured("north", 3, CAPTURED + 2));
        process(harness, TestFrames.cameraFrame("south", 4)); // nobody waits for it any more
        runMails(harness);

        assertThat(served(harness))
                .containsExactlyInAnyOrder("0 configured", "1 two", "2 configured", "3 two", "4 two");
        assertThat(answers(harness)).containsExactly("c-1 SCHEDULED two", "c-1 ACTIVATED two");
        assertThat(harness.extractOutputValues()).isNotEmpty();
    }

    @Test
    void aModelThatStillHasAFrameIsClosedWithTheTask() throws Exception {
        var harness = openControlled(1, 0, null);
        process(harness, TestFrames.cameraFrame("north", 0));
        await(harness, control.send(activate("c-1", bundle("two"))));
        assertThat(engine("configured").closed).isFalse();

        harness.getOperator().close();

        assertThat(engine("configured").closed).isTrue();
        assertThat(engine("two").closed).isTrue();
    }

    @Test
    void aCommandGoesOnFromAScheduledModelThatServes() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two")).setFromCaptureTimeMicros(CAPTURED + 1)));
        process(harness, captured("north", 0, CAPTURED + 1));
        await(harness, control.send(command("c-2", ModelAction.STATUS)));
        await(harness, control.send(activate("c-3", bundle("three"))));
        await(harness, control.send(command("c-4", ModelAction.ROLL_BACK)));

        assertThat(answers(harness))
                .containsExactly(
                        "c-1 SCHEDULED two",
                        "c-1 ACTIVATED two",
                        "c-2 SERVING two",
                        "c-3 ACTIVATED three",
                        "c-4 ROLLED_BACK two");
    }

    @Test
    void rollsBackToTheModelBeforeAndForthAgain() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(command("c-0", ModelAction.ROLL_BACK)));
        await(harness, control.send(activate("c-1", bundle("two"))));
        await(harness, control.send(command("c-2", ModelAction.ROLL_BACK)));
        await(harness, control.send(command("c-3", ModelAction.ROLL_BACK)));
        await(harness, control.send(activate("c-4", bundle("three")).setFromCaptureTimeMicros(1L << 60)));
        await(harness, control.send(command("c-5", ModelAction.ROLL_BACK)));

        assertThat(answers(harness))
                .containsExactly(
                        "c-0 REFUSED configured",
                        "c-1 ACTIVATED two",
                        "c-2 ROLLED_BACK configured",
                        "c-3 ROLLED_BACK two",
                        "c-4 SCHEDULED three",
                        "c-5 ROLLED_BACK two");
    }

    @Test
    void aHeadThatIsOffHasNoRecords() throws Exception {
        var harness = openControlled(1, 0, null);
        engine("configured").answerAll();
        await(harness, control.send(command("c-0", ModelAction.HEAD_OFF).setHead("nose")));
        await(harness, control.send(command("c-1", ModelAction.HEAD_OFF).setHead("depth")));
        process(harness, TestFrames.cameraFrame("north", 0));
        await(harness, control.send(command("c-2", ModelAction.HEAD_ON).setHead("depth")));
        process(harness, TestFrames.cameraFrame("north", 1));
        runMails(harness);

        assertThat(harness.extractOutputValues())
                .extracting(OutputMessage::topic)
                .containsExactly(
                        "model-answers",
                        "model-answers",
                        "segmentation",
                        "features",
                        "model-answers",
                        "segmentation",
                        "features",
                        "depth");
        assertThat(answers(harness)).startsWith("c-0 REFUSED configured");
    }

    @Test
    void whatIsWrongWithABundleIsARefusalAndTheOldOneServes() throws Exception {
        var harness = openControlled(1, 0, null, "uplift.control.load-timeout", "300 ms");
        Path two = bundle("two");
        await(harness, control.send(activate("c-hash", two).setSha256("00".repeat(32))));
        await(harness, control.send(activate("c-place", two).setBundle("/etc/../etc/" + two.getFileName())));
        await(harness, control.send(activate("c-gone", two).setBundle(two + "-gone")));
        Path damaged = bundle("damaged");
        Files.write(damaged.resolve("golden/frames.bin"), new byte[] {1});
        await(harness, control.send(activate("c-damaged", damaged)));
        await(harness, control.send(activate("c-refuses", bundle("refuses"))));
        await(harness, control.send(activate("c-hangs", bundle("hangs"))));
        control.missingTopic = "features-2";
        await(harness, control.send(activate("c-topic", two)));
        control.missingTopic = null;
        await(harness, control.send(command("c-status", ModelAction.STATUS)));
        stuck.countDown();
        engine("configured").answerAll();
        process(harness, TestFrames.cameraFrame("north", 0));
        runMails(harness);

        assertThat(decode(harness, "model-answers", ModelAnswer.class))
                .extracting(answer ->
                        answer.getCommandId() + ": " + answer.getReason().orElse(""))
                .satisfiesExactly(
                        hash -> assertThat(hash).startsWith("c-hash: bundle ").contains("SHA-256 of manifest.json is"),
                        place -> assertThat(place).contains("expected: a directory under " + directory),
                        gone -> assertThat(gone).contains("two-gone"),
                        broken -> assertThat(broken).contains("golden/frames.bin: SHA-256 is"),
                        refused -> assertThat(refused).isEqualTo("c-refuses: the golden check fails"),
                        hangs -> assertThat(hangs).contains("within 0 s (expected: in time"),
                        topic -> assertThat(topic).isEqualTo("c-topic: output topic: features-2 is not there"),
                        status -> assertThat(status).isEqualTo("c-status: "));
        assertThat(served(harness)).containsExactly("0 configured");
        assertThat(engines.get("two")).isNull();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "no json",
                "[1]",
                "{}",
                "{\"id\":\"a\",\"action\":\"DANCE\"}",
                "{\"id\":\"a\",\"id\":\"b\",\"action\":\"STATUS\"}",
                "{\"id\":\"a\",\"action\":\"STATUS\",\"more\":1}",
                "{\"id\":\"a b\",\"action\":\"STATUS\"}",
                "{\"id\":\"a\",\"action\":\"HEAD_OFF\"}",
                "{\"id\":\"a\",\"action\":\"ACTIVATE\",\"bundle\":\"/b\"}",
                "{\"id\":\"a\",\"action\":\"ACTIVATE\",\"bundle\":\"b\",\"sha256\":\"12\"}",
                "{\"id\":\"a\",\"action\":\"ACTIVATE\",\"fromCaptureTimeMicros\":1.5}",
                "\u00c3\u0001",
            })
    void whatIsNoCommandIsRefused(String value) throws Exception {
        var harness = openControlled(1, 0, null);

        await(harness, control.send(value.getBytes(StandardCharsets.ISO_8859_1)));

        assertThat(answers(harness)).containsExactly("offset 5 REFUSED configured");
    }

    @Test
    void aCommandIsCarriedOutOnce() throws Exception {
        var harness = openControlled(1, 0, null);
        byte[] json = "{\"id\":\"c-1\",\"action\":\"HEAD_OFF\",\"head\":\"depth\"}".getBytes(StandardCharsets.UTF_8);
        await(harness, control.send(json));
        await(harness, control.send(command("c-2", ModelAction.HEAD_ON).setHead("depth")));
        await(harness, control.send(json));
        await(harness, control.send(command("c-3", ModelAction.STATUS)));

        List<ModelAnswer> answers = decode(harness, "model-answers", ModelAnswer.class);
        assertThat(answers)
                .extracting(ModelAnswer::getOutcome)
                .containsExactly(
                        ModelOutcome.CHANGED, ModelOutcome.CHANGED, ModelOutcome.REFUSED, ModelOutcome.SERVING);
        assertThat(answers.get(3).getHeadsOff()).isEmpty();
    }

    @Test
    void everySubtaskServesWhatItServedAfterARescale() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        await(harness, control.send(activate("c-2", bundle("three")).setFromCaptureTimeMicros(CAPTURED + 1)));
        await(harness, control.send(command("c-3", ModelAction.HEAD_OFF).setHead("depth")));
        OperatorSubtaskState state = harness.snapshot(1, 1);
        deleteSources();

        for (int subtask = 0; subtask < 2; subtask++) {
            OperatorSubtaskState share =
                    AbstractStreamOperatorTestHarness.repartitionOperatorState(state, 3, 1, 2, subtask);
            var scaled = openControlled(2, subtask, share);
            assertThat(control.offset).isEqualTo(8);
            engine("two").answerAll();
            engine("three").answerAll();
            process(scaled, TestFrames.cameraFrame("north", 0));
            process(scaled, captured("north", 1, CAPTURED + 1));
            await(scaled, control.send(command("c-4", ModelAction.ROLL_BACK)));
            await(scaled, control.send(command("c-5", ModelAction.ROLL_BACK)));
            runMails(scaled);
            assertThat(served(scaled)).containsExactly("0 two", "1 three");
            assertThat(answers(scaled))
                    .containsExactly("c-2 ACTIVATED three", "c-4 ROLLED_BACK two", "c-5 ROLLED_BACK three");
        }
    }

    @Test
    void aModelThatServedAndCannotBeHadEndsTheStart() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        OperatorSubtaskState state = harness.snapshot(1, 1);
        deleteSources();
        try (Stream<Path> files = Files.walk(directory.resolve("cache"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }

        assertThatThrownBy(() -> openControlled(1, 0, state))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("the model that served")
                .hasMessageContaining("of command c-1, cannot be had");
    }

    @Test
    void withoutAControlTopicNothingIsInState() throws Exception {
        var harness = open();

        assertThat(harness.snapshot(1, 1).getManagedOperatorState()).isEmpty();
    }

    @Test
    void aStateFromBeforeCommandsStartsAJobThatTakesThem() throws Exception {
        OperatorSubtaskState state = open().snapshot(1, 1);

        var harness = openControlled(1, 0, state);
        await(harness, control.send(command("c-1", ModelAction.STATUS)));

        assertThat(answers(harness)).containsExactly("c-1 SERVING configured");
    }

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> openControlled(
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
        opened.add(() -> {
            engines.values().forEach(TestingEngine::answerAll);
            harness.close();
        });
        if (state != null) {
            harness.initializeState(state);
        }
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
        made.model = new ModelIdentity("tiny", name, "ab".repeat(32), "cpu-fp32");
        return made;
    }

    private TestingEngine engine(String name) {
        return engines.computeIfAbsent(name, unused -> new TestingEngine());
    }

    /** A copy of {@code tiny} under this version. */
    private Path bundle(String version) throws IOException {
        Path copy = directory.resolve(version);
        if (!Files.exists(copy)) {
            try (Stream<Path> files = Files.walk(TINY)) {
                for (Path file : files.toList()) {
                    Files.copy(file, copy.resolve(TINY.relativize(file).toString()));
                }
            }
            Path manifest = copy.resolve("manifest.json");
            Files.writeString(manifest, Files.readString(manifest).replace("1.0.0", version));
        }
        return copy;
    }

    private void deleteSources() throws IOException {
        for (String source : List.of("two", "three")) {
            Files.deleteIfExists(directory.resolve(source).resolve("manifest.json"));
        }
    }

    private static ModelCommand.Builder activate(String id, Path bundle) throws IOException {
        return command(id, ModelAction.ACTIVATE)
                .setBundle(bundle.toString())
                .setSha256(BoundedText.sha256(Files.readAllBytes(bundle.resolve("manifest.json"))));
    }

    private static ModelCommand.Builder command(String id, ModelAction action) {
        return ModelCommand.newBuilder().setId(id).setAction(action);
    }

    private static RawFrame captured(String cameraId, long sequence, long micros) {
        RawFrame frame = TestFrames.cameraFrame(cameraId, sequence);
        var record = CameraFrame.newBuilder(TestFrames.record(cameraId, sequence))
                .setCaptureTimeMicros(micros)
                .build();
        return TestFrames.raw(frame.offset(), cameraId, SingleObject.encode(record));
    }

    private static void await(OneInputStreamOperatorTestHarness<?, ?> harness, CompletableFuture<?> done)
            throws Exception {
        while (!done.isDone()) {
            runMails(harness);
        }
        done.join();
    }

    /** Sequence and model of the segmentation records. */
    private static List<String> served(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "segmentation", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getSequence() + " "
                        + record.getHeader().getModel().orElseThrow().getVersion())
                .toList();
    }

    /** Command, outcome and model of the answers. */
    private static List<String> answers(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "model-answers", ModelAnswer.class).stream()
                .map(answer -> answer.getCommandId() + " " + answer.getOutcome() + " "
                        + answer.getModel().replaceFirst("tiny ", ""))
                .toList();
    }
}
