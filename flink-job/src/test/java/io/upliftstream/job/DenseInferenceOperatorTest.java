package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException;
import io.upliftstream.schemas.FrameFailure;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.runtime.throwable.ThrowableClassifier;
import org.apache.flink.runtime.throwable.ThrowableType;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DenseInferenceOperatorTest extends OperatorTest {
    @Test
    void resultsOfACameraLeaveInTheOrderOfItsFramesAndWaitForNoOther() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        for (int i = 0; i < 4; i++) {
            process(harness, TestFrames.cameraFrame(i % 2 == 0 ? "north" : "south", i));
        }

        engine.answer(3);
        engine.answer(1);
        runMails(harness);
        assertThat(sequences(harness)).containsExactly(1L, 3L);

        engine.answer(2);
        runMails(harness);
        assertThat(sequences(harness)).containsExactly(1L, 3L);

        engine.answer(0);
        runMails(harness);
        assertThat(sequences(harness)).containsExactly(1L, 3L, 0L, 2L);
    }

    @Test
    void everyHeadGoesToItsTopicUnderTheCamerasKey() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        process(harness, TestFrames.cameraFrame("north", 0));
        engine.answer(0);
        runMails(harness);

        assertThat(harness.extractOutputValues())
                .extracting(OutputMessage::topic)
                .containsExactly("segmentation", "features", "depth");
        assertThat(harness.extractOutputValues())
                .allSatisfy(message -> assertThat(message.key()).asString().isEqualTo("north"));
    }

    @Test
    void aFullQueueYieldsUntilAFrameIsDone() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open("uplift.queue.capacity", "2");
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, TestFrames.cameraFrame("north", 1));

        CompletableFuture<Void> answered = CompletableFuture.runAsync(() -> engine.answer(0));
        process(harness, TestFrames.cameraFrame("north", 2));

        assertThat(sequences(harness)).containsExactly(0L);
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
        assertThat(engine.submitted).hasSize(3);
        answered.join();
    }

    @Test
    void finishesWhatIsInFlightBeforeTheBarrier() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        for (int i = 0; i < 3; i++) {
            process(harness, TestFrames.cameraFrame("north", i));
        }

        CompletableFuture<Void> answered = CompletableFuture.runAsync(() -> {
            engine.answer(2);
            engine.answer(0);
            engine.answer(1);
        });
        harness.prepareSnapshotPreBarrier(1);

        assertThat(sequences(harness)).containsExactly(0L, 1L, 2L);
        answered.join();
    }

    @Test
    void finishesWhatIsInFlightAtTheEndOfInput() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        process(harness, TestFrames.cameraFrame("north", 0));
        CompletableFuture<Void> answered = CompletableFuture.runAsync(() -> engine.answer(0));

        Objects.requireNonNull(harness.getOneInputOperator()).finish();

        assertThat(sequences(harness)).containsExactly(0L);
        answered.join();
    }

    @Test
    void aFrameThatFailsIsAFailureRecordInItsPlace() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        RawFrame bad = TestFrames.cameraFrame("north", 1);
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, bad);
        process(harness, TestFrames.cameraFrame("north", 2));

        engine.answer(2);
        engine.fail(1, new FrameException(FrameException.Reason.CORRUPT_IMAGE, "JPEG: truncated (expected: its end)"));
        engine.answer(0);
        runMails(harness);

        assertThat(sequences(harness)).containsExactly(0L, 1L, 2L);
        FrameFailure failure = decode(harness, "failures", FrameFailure.class).get(0);
        assertThat(failure.getStage()).isEqualTo("decode");
        assertThat(failure.getReason()).isEqualTo("CORRUPT_IMAGE");
        assertThat(failure.getMessage()).isEqualTo("JPEG: truncated (expected: its end)");
        assertThat(failure.getHeader().getSource().getOffset()).isEqualTo(1001);
        assertThat(failure.getOriginal()).contains(ByteBuffer.wrap(Objects.requireNonNull(bad.value())));
    }

    @Test
    void whateverGoesWrongWithAFrameIsNoReasonToRestart() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        process(harness, TestFrames.cameraFrame("north", 0));
        engine.fail(0, new IllegalStateException("surprise"));
        runMails(harness);

        FrameFailure failure = decode(harness, "failures", FrameFailure.class).get(0);
        assertThat(failure.getStage()).isEqualTo("inference");
        assertThat(failure.getReason()).isEqualTo("MODEL_FAILED");
        assertThat(failure.getMessage()).isEqualTo("surprise");
    }

    @Test
    void aProcessThatIsBrokenFailsTheJob() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        process(harness, TestFrames.cameraFrame("north", 0));
        engine.fail(0, new OutOfMemoryError("no more"));

        assertThatThrownBy(() -> runMails(harness)).hasRootCauseMessage("no more");
    }

    @Test
    void hostileRecordsFailInTheirPlace() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, TestFrames.raw(1001, "north", null));
        process(harness, TestFrames.raw(1002, null, TestFrames.jpeg((byte) 1)));
        process(harness, TestFrames.cameraFrame("north", 3));
        engine.answer(1);
        engine.answer(0);
        runMails(harness);

        assertThat(offsets(harness)).as("1002 is of no camera").containsExactly(1000L, 1001L, 1003L, 1002L);
        assertThat(decode(harness, "failures", FrameFailure.class))
                .extracting(FrameFailure::getReason)
                .containsExactly("EMPTY_VALUE", "MISSING_CAMERA_ID");
    }

    @Test
    void anOutcomeThatNoRecordCanTellOfRestartsNothing() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                new OneInputStreamOperatorTestHarness<>(new DenseInferenceOperator.Factory(
                        TestFrames.settings(),
                        again -> Map.of("failures", 100),
                        Framing.SINGLE_OBJECT,
                        (unused, subtask) -> engine,
                        clock,
                        null));
        opened.add(harness);
        harness.open();
        process(harness, TestFrames.raw(1000, "north", null));
        process(harness, TestFrames.cameraFrame("north", 1));
        engine.answer(0);
        runMails(harness);

        assertThat(sequences(harness)).containsExactly(1L);
    }

    @Test
    void aFrameAtWhichTheProcessDiesTwiceIsHeldBack(@TempDir Path directory) throws Exception {
        String[] settings = {"uplift.quarantine.directory", directory.toString(), "uplift.quarantine.restarts", "2"};
        for (int start = 1; start <= 2; start++) { // and dies with all three frames at the model
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings);
            for (int i = 0; i < 3; i++) {
                process(harness, TestFrames.cameraFrame("north", i));
            }
            assertThat(engine.submitted).hasSize(3 * start);
        }
        for (int start = 3; start <= 4; start++) { // one at a time now: frame 0 passes, frame 1 is alone when it dies
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings);
            process(harness, TestFrames.cameraFrame("north", 0));
            engine.answer(engine.submitted.size() - 1);
            process(harness, TestFrames.cameraFrame("north", 1));
            assertThat(sequences(harness)).containsExactly(0L);
        }
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings);
        process(harness, TestFrames.cameraFrame("north", 0));
        engine.answer(engine.submitted.size() - 1);
        process(harness, TestFrames.cameraFrame("north", 1));
        process(harness, TestFrames.cameraFrame("north", 2));
        engine.answer(engine.submitted.size() - 1);
        runMails(harness);

        assertThat(results(harness)).containsExactly("north 0", "north 2");
        FrameFailure failure = decode(harness, "failures", FrameFailure.class).get(0);
        assertThat(failure.getReason()).isEqualTo("QUARANTINED");
        assertThat(failure.getHeader().getSequence()).isEqualTo(1);

        harness.notifyOfCompletedCheckpoint(1);
        int before = engine.submitted.size();
        process(harness, TestFrames.cameraFrame("north", 3));
        process(harness, TestFrames.cameraFrame("north", 4));
        assertThat(engine.submitted).as("both at once again").hasSize(before + 2);
    }

    @Test
    void restartsOfALivingProcessHoldNoFrameBack(@TempDir Path directory) throws Exception {
        for (int start = 1; start <= 6; start++) {
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                    open("uplift.quarantine.directory", directory.toString(), "uplift.quarantine.restarts", "1");
            process(harness, TestFrames.cameraFrame("north", 0));
            assertThat(engine.submitted).hasSize(start);
            engine.fail(start - 1, new OutOfMemoryError("no more"));
            assertThatThrownBy(() -> runMails(harness)).hasRootCauseMessage("no more");
            Objects.requireNonNull(harness.getOneInputOperator()).close();
        }
    }

    @Test
    void aBundleThatCannotBeServedEndsTheJobForGood() {
        StartupException noGpu = new StartupException(StartupException.ENVIRONMENT, "device: cuda (expected: cpu)");

        assertThat(ThrowableClassifier.getThrowableType(noGpu)).isEqualTo(ThrowableType.NonRecoverableError);
    }

    @Test
    void closesItsEngine() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        harness.close();

        assertThat(engine.closed).isTrue();
    }
}
