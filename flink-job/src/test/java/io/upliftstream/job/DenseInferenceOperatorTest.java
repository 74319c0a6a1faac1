package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.nio.ByteBuffer;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.runtime.throwable.ThrowableClassifier;
import org.apache.flink.runtime.throwable.ThrowableType;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.Mail;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DenseInferenceOperatorTest {
    private final TestingEngine engine = new TestingEngine();
    private final TestingClock clock = new TestingClock();
    private final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        for (int i = 0; i < engine.submitted.size(); i++) {
            engine.answer(i); // the harness drains when it is closed
        }
        for (AutoCloseable harness : opened) {
            harness.close();
        }
    }

    @Test
    void resultsLeaveInTheOrderOfTheFrames() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        for (int i = 0; i < 4; i++) {
            process(harness, TestFrames.cameraFrame(i % 2 == 0 ? "north" : "south", i));
        }

        engine.answer(3);
        engine.answer(1);
        runMails(harness);
        assertThat(harness.getOutput()).isEmpty();

        engine.answer(0);
        runMails(harness);
        assertThat(sequences(harness)).containsExactly(0L, 1L);

        engine.answer(2);
        runMails(harness);
        assertThat(sequences(harness)).containsExactly(0L, 1L, 2L, 3L);
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
    void noAnswerInTimeIsAFailureRecord() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open("uplift.model.timeout", "1 ms");
        process(harness, TestFrames.cameraFrame("north", 0));

        harness.prepareSnapshotPreBarrier(1); // waits for the time-out

        FrameFailure failure = decode(harness, "failures", FrameFailure.class).get(0);
        assertThat(failure.getStage()).isEqualTo("inference");
        assertThat(failure.getReason()).isEqualTo("TIMEOUT");
        engine.answer(0); // too late
        runMails(harness);
        assertThat(harness.getOutput()).hasSize(1);
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

        assertThat(offsets(harness)).containsExactly(1000L, 1001L, 1002L, 1003L);
        assertThat(decode(harness, "failures", FrameFailure.class))
                .extracting(FrameFailure::getReason)
                .containsExactly("EMPTY_VALUE", "MISSING_CAMERA_ID");
    }

    @Test
    void liveModeCountsWhatItLetsGoInRuns() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms");
        process(harness, TestFrames.cameraFrame("north", 0));
        clock.millis = TestFrames.RECORDED + 150;
        process(harness, TestFrames.cameraFrame("north", 1));
        process(harness, TestFrames.cameraFrame("south", 1));
        clock.millis = TestFrames.RECORDED + 170;
        process(harness, TestFrames.cameraFrame("north", 2));
        clock.millis = TestFrames.RECORDED;
        process(harness, TestFrames.cameraFrame("north", 3));
        engine.answer(0);
        engine.answer(1);
        runMails(harness);

        assertThat(offsets(harness)).containsExactly(1000L, 1001L, 1003L);
        FrameDropped run = decode(harness, "dropped", FrameDropped.class).get(0);
        assertThat(run.getReason()).isEqualTo("MAX_AGE");
        assertThat(run.getCount()).isEqualTo(2);
        assertThat(run.getHeader().getSequence()).isEqualTo(1);
        assertThat(run.getLastSequence()).isEqualTo(2);
        assertThat(run.getLastOffset()).isEqualTo(1002);
        assertThat(run.getAgeMillis()).isEqualTo(170);

        harness.prepareSnapshotPreBarrier(1);
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .extracting(dropped -> dropped.getHeader().getCameraId())
                .containsExactly("north", "south");
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

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> open(String... settings) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = new OneInputStreamOperatorTestHarness<>(
                new DenseInferenceOperator.Factory(TestFrames.settings(settings), Map.of(), unused -> engine, clock));
        opened.add(harness);
        harness.open();
        return harness;
    }

    private static void process(OneInputStreamOperatorTestHarness<RawFrame, ?> harness, RawFrame frame)
            throws Exception {
        harness.processElement(new StreamRecord<>(frame));
    }

    private static void runMails(OneInputStreamOperatorTestHarness<?, ?> harness) throws Exception {
        for (var mail = harness.getTaskMailbox().tryTake(0); mail.isPresent(); ) {
            Mail next = mail.get();
            next.run();
            mail = harness.getTaskMailbox().tryTake(0);
        }
    }

    private static <T extends org.apache.avro.specific.SpecificRecord> List<T> decode(
            OneInputStreamOperatorTestHarness<?, OutputMessage> harness, String topic, Class<T> type) {
        return harness.extractOutputValues().stream()
                .filter(message -> message.topic().equals(topic))
                .map(message -> SingleObject.decode(message.value(), type))
                .toList();
    }

    /** Sequences of the segmentation and failure records, as they left. */
    private static List<Long> sequences(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return headers(harness).stream().map(RecordHeader::getSequence).toList();
    }

    private static List<Long> offsets(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return headers(harness).stream()
                .map(header -> header.getSource().getOffset())
                .toList();
    }

    private static List<RecordHeader> headers(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        List<RecordHeader> headers = new ArrayList<>();
        for (OutputMessage message : harness.extractOutputValues()) {
            switch (message.topic()) {
                case "segmentation" ->
                    headers.add(SingleObject.decode(message.value(), SegmentationRecord.class)
                            .getHeader());
                case "failures" ->
                    headers.add(SingleObject.decode(message.value(), FrameFailure.class)
                            .getHeader());
                case "dropped" ->
                    headers.add(SingleObject.decode(message.value(), FrameDropped.class)
                            .getHeader());
                default -> {}
            }
        }
        return headers;
    }

    /** Time as the test says. */
    private static final class TestingClock extends Clock {
        private long millis = TestFrames.RECORDED;

        @Override
        public long millis() {
            return millis;
        }

        @Override
        public Instant instant() {
            return Instant.ofEpochMilli(millis);
        }

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            return this;
        }
    }
}
