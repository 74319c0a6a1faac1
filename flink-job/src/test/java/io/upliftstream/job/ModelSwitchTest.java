package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelOutcome;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands to the operator. */
class ModelSwitchTest extends ControlledTest {
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
    void aScheduledModelThatBeginsToServeWhileAnotherIsLoadedIsTheOneBeforeIt() throws Exception {
        var harness = openControlled(1, 0, null);
        engine("configured").answerAll();
        engine("two").answerAll();
        engine("hangs").answerAll();
        await(harness, control.send(activate("c-1", bundle("two")).setFromCaptureTimeMicros(CAPTURED + 1)));
        CompletableFuture<?> later =
                control.send(activate("c-2", bundle("hangs")).setFromCaptureTimeMicros(CAPTURED + 10));
        runMails(harness);
        process(harness, captured("north", 0, CAPTURED + 1));
        stuck.countDown();
        await(harness, later);
        process(harness, captured("north", 1, CAPTURED + 2));
        process(harness, captured("north", 2, CAPTURED + 10));
        await(harness, control.send(command("c-3", ModelAction.ROLL_BACK)));
        runMails(harness);

        assertThat(served(harness)).containsExactly("0 two", "1 two", "2 hangs");
        assertThat(answers(harness))
                .containsExactly(
                        "c-1 SCHEDULED two",
                        "c-1 ACTIVATED two",
                        "c-2 SCHEDULED hangs",
                        "c-2 ACTIVATED hangs",
                        "c-3 ROLLED_BACK two");
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
    void theConfiguredBundleIsRolledBackToAsItServed() throws Exception {
        var harness = openControlled(1, 0, null);
        await(harness, control.send(activate("c-1", bundle("two"))));
        Path manifest = directory.resolve("one").resolve("manifest.json");
        String before = Files.readString(manifest);
        Files.writeString(manifest, before.replace("\"one\"", "\"other\""));
        await(harness, control.send(command("c-2", ModelAction.ROLL_BACK)));
        Files.writeString(manifest, before);
        await(harness, control.send(command("c-3", ModelAction.ROLL_BACK)));

        assertThat(answers(harness))
                .containsExactly("c-1 ACTIVATED two", "c-2 REFUSED two", "c-3 ROLLED_BACK configured");
        assertThat(decode(harness, "model-answers", ModelAnswer.class).get(1).getReason())
                .hasValueSatisfying(
                        reason -> assertThat(reason).contains("SHA-256 of manifest.json is", "as it served"));
    }
}
