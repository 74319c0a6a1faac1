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
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.flink.runtime.throwable.ThrowableClassifier;
import org.apache.flink.runtime.throwable.ThrowableType;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.mailbox.Mail;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class DenseInferenceOperatorTest {
    private final TestingEngine engine = new TestingEngine();
    private final TestingClock clock = new TestingClock();
    private final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        engine.answerAll(); // the harness drains when it is closed
        for (AutoCloseable harness : opened) {
            harness.close();
        }
    }

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
    void noRunCoversAFrameThatEndedInAnotherWay() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms");
        clock.millis = TestFrames.RECORDED + 150;
        for (int i = 0; i < 7; i++) {
            // Of the frame with sequence 3 nothing but its key can be read.
            process(
                    harness,
                    i == 3 ? TestFrames.raw(1003, "north", new byte[] {1, 2, 3}) : TestFrames.cameraFrame("north", i));
        }
        process(harness, TestFrames.cameraFrame("north", 6)); // a camera that repeats itself
        harness.prepareSnapshotPreBarrier(1);

        assertThat(decode(harness, "failures", FrameFailure.class)).hasSize(1);
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .extracting(run -> List.of(run.getHeader().getSequence(), run.getLastSequence(), run.getCount()))
                .containsExactly(List.of(0L, 2L, 3L), List.of(4L, 6L, 3L), List.of(6L, 6L, 1L));
    }

    @Test
    void liveModeReadsOnAndLetsGoWhatGrewOldWhileItWaited() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms", "uplift.queue.capacity", "1");
        for (int i = 0; i < 5; i++) {
            process(harness, TestFrames.cameraFrame("north", i)); // would block in lossless mode
        }
        clock.millis = TestFrames.RECORDED + 101;
        process(harness, recorded(101, "north", 5));
        engine.answer(0);
        runMails(harness);
        engine.answer(1);
        runMails(harness);

        assertThat(sequences(harness))
                .as("a result, a run from 1 to 4, a result")
                .containsExactly(0L, 1L, 5L);
        FrameDropped run = decode(harness, "dropped", FrameDropped.class).get(0);
        assertThat(run.getReason()).isEqualTo("MAX_AGE");
        assertThat(run.getCount()).isEqualTo(4);
        assertThat(run.getLastSequence()).isEqualTo(4);
    }

    @Test
    void nothingStaleReachesTheModel() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms");
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, TestFrames.cameraFrame("north", 1));
        engine.take(0);
        clock.millis = TestFrames.RECORDED + 101;
        engine.take(1);
        runMails(harness);

        assertThat(sequences(harness)).containsExactly(0L, 1L);
        FrameDropped late = decode(harness, "dropped", FrameDropped.class).get(0);
        assertThat(late.getReason()).isEqualTo("DEADLINE");
        assertThat(late.getCount()).isEqualTo(1);
        assertThat(late.getAgeMillis()).isEqualTo(101);
    }

    @Test
    void theLatestFrameWinsWhereAsked() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.queue.policy", "latest-only", "uplift.queue.capacity", "1");
        for (int i = 0; i < 4; i++) {
            process(harness, TestFrames.cameraFrame("north", i));
            process(harness, TestFrames.cameraFrame("south", i));
        }
        for (int i = 0; i < 3; i++) {
            engine.answer(i);
            runMails(harness);
        }

        assertThat(results(harness)).containsExactly("north 0", "south 3", "north 3");
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .extracting(run -> run.getHeader().getCameraId() + " " + run.getReason() + " " + run.getCount())
                .containsExactly("south SUPERSEDED 3", "north SUPERSEDED 2");
    }

    /** Seven cameras within their share, and one at ten times that. */
    @Test
    void aCameraThatSendsTenTimesItsShareCannotStarveTheOthers() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "12 ms", "uplift.queue.capacity", "1");
        // The model takes 3 ms for a frame: the fair share of eight cameras is a frame every 24 ms, and a frame that
        // waits while each of the others has a turn is too old.
        long sequence = 0;
        int taken = 0;
        for (long now = 0; now < 3000; now++) {
            clock.millis = TestFrames.RECORDED + now;
            for (int camera = 0; camera < 8; camera++) {
                if (camera == 7 ? now % 2 == 0 : (7 * now + 25L * camera) % 175 < 7) {
                    process(harness, recorded(now, "camera-" + camera, sequence++));
                }
            }
            if (now % 3 == 2 && taken < engine.submitted.size()) {
                engine.take(taken++);
                runMails(harness);
            }
        }
        CompletableFuture<Void> rest = answerAll(taken);
        harness.prepareSnapshotPreBarrier(1);
        rest.cancel(true);

        Map<String, Long> results = results(harness).stream()
                .collect(Collectors.groupingBy(result -> result.substring(0, 8), Collectors.counting()));
        for (int camera = 0; camera < 7; camera++) {
            assertThat(results.get("camera-" + camera)).isGreaterThanOrEqualTo(119); // of 120
        }
        assertThat(results.get("camera-7")).as("what the others leave").isGreaterThan(130);
        long dropped = decode(harness, "dropped", FrameDropped.class).stream()
                .mapToLong(FrameDropped::getCount)
                .sum();
        assertThat(results.values().stream().mapToLong(Long::longValue).sum() + dropped)
                .as("every frame is accounted for")
                .isEqualTo(sequence);
    }

    /** A camera whose images take long to decode cannot have every place at the model. */
    @Test
    void aCameraHasHalfOfThePlacesWhileAnotherSends() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "1 s", "uplift.queue.capacity", "4");
        for (int i = 0; i < 5; i++) {
            process(harness, TestFrames.cameraFrame("slow", i));
        }
        assertThat(engine.submitted).as("alone, it has all").hasSize(4);
        for (int i = 0; i < 4; i++) {
            engine.answer(i);
        }
        runMails(harness);
        process(harness, TestFrames.cameraFrame("good", 0));
        for (int i = 5; i < 9; i++) {
            process(harness, TestFrames.cameraFrame("slow", i));
        }
        assertThat(engine.submitted).as("5th and 6th of slow, 1st of good").hasSize(7);
        process(harness, TestFrames.cameraFrame("good", 1));
        engine.answer(5);
        engine.answer(7);
        runMails(harness);
        assertThat(results(harness)).endsWith("good 0", "good 1");

        clock.millis = TestFrames.RECORDED + 2000;
        for (int i = 9; i < 13; i++) {
            process(harness, recorded(2000, "slow", i));
        }
        engine.answer(4);
        engine.answer(6);
        runMails(harness);
        assertThat(engine.submitted).as("alone again").hasSize(12);
    }

    /** 300 stale frames whose ids had 5 MB each ended the process. */
    @Test
    void whateverTheNamesMemoryIsBounded() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms", "uplift.queue.capacity", "1");
        clock.millis = TestFrames.RECORDED + 3_600_000;
        String padding = "q".repeat(5_000_000);
        for (int i = 0; i < 60; i++) {
            process(harness, TestFrames.cameraFrame(i + padding, 1));
        }
        clock.millis = TestFrames.RECORDED;
        for (int i = 0; i < 5 * FairQueue.MAX_CAMERAS; i++) { // young ones, for each of which a camera is invented
            process(harness, TestFrames.cameraFrame("invented-" + i, 1));
        }
        clock.millis = TestFrames.RECORDED - 3_600_000; // all of them from the future
        for (int i = 0; i < 5 * FairQueue.MAX_CAMERAS; i++) {
            process(harness, TestFrames.cameraFrame("future-" + i, 1));
        }
        CompletableFuture<Void> rest = answerAll(0);
        harness.prepareSnapshotPreBarrier(1);
        rest.cancel(true);

        List<FrameDropped> dropped = decode(harness, "dropped", FrameDropped.class);
        assertThat(dropped).extracting(FrameDropped::getReason).contains("MAX_AGE", "QUEUE_FULL");
        assertThat(dropped)
                .allSatisfy(run -> assertThat(run.getHeader().getCameraId()).hasSizeLessThanOrEqualTo(256));
        assertThat(results(harness).size()
                        + dropped.stream().mapToLong(FrameDropped::getCount).sum())
                .isEqualTo(60 + 10 * FairQueue.MAX_CAMERAS);
    }

    @Test
    void anOutcomeThatNoRecordCanTellOfRestartsNothing() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                new OneInputStreamOperatorTestHarness<>(new DenseInferenceOperator.Factory(
                        TestFrames.settings(), Map.of("failures", 100), (unused, subtask) -> engine, clock));
        opened.add(harness);
        harness.open();
        process(harness, TestFrames.raw(1000, "north", null));
        process(harness, TestFrames.cameraFrame("north", 1));
        engine.answer(0);
        runMails(harness);

        assertThat(sequences(harness)).containsExactly(1L);
    }

    @Test
    void whoeverTakesTheMostMemoryMakesRoom() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(
                "uplift.mode",
                "live",
                "uplift.queue.capacity",
                "1",
                "uplift.frame.max-bytes",
                "1 kb",
                "uplift.queue.max-bytes",
                "4 kb"); // some six frames
        process(harness, TestFrames.cameraFrame("north", 0));
        process(harness, TestFrames.cameraFrame("south", 0));
        for (int i = 1; i < 20; i++) {
            process(harness, TestFrames.cameraFrame("north", i));
        }
        CompletableFuture<Void> rest = answerAll(0);
        harness.prepareSnapshotPreBarrier(1);
        rest.cancel(true);

        assertThat(results(harness)).startsWith("north 0", "south 0").endsWith("north 19");
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .extracting(run -> run.getHeader().getCameraId() + " " + run.getReason())
                .containsExactly("north QUEUE_FULL");
        assertThat(results(harness).size()
                        + decode(harness, "dropped", FrameDropped.class).get(0).getCount())
                .isEqualTo(21);
    }

    @Test
    void aCheckpointDoesNotWaitForAWholeBacklog() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "1 s", "uplift.queue.capacity", "1");
        for (int i = 0; i < 10; i++) {
            process(harness, TestFrames.cameraFrame("north", i));
        }
        CompletableFuture<Void> slow = CompletableFuture.runAsync(() -> {
            clock.millis = TestFrames.RECORDED + 300;
            engine.answer(0);
            while (engine.submitted.size() < 2) {
                Thread.onSpinWait();
            }
            clock.millis = TestFrames.RECORDED + 900; // half of max-age later, whichever clock the drain began at
            engine.answer(1);
        });
        harness.prepareSnapshotPreBarrier(1);
        slow.join();

        assertThat(results(harness)).containsExactly("north 0", "north 1");
        FrameDropped rest = decode(harness, "dropped", FrameDropped.class).get(0);
        assertThat(rest.getReason()).isEqualTo("CHECKPOINT");
        assertThat(rest.getCount()).isEqualTo(8);
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

    /** Answers every submission from one on, in another thread. */
    private CompletableFuture<Void> answerAll(int from) {
        AtomicBoolean done = new AtomicBoolean();
        CompletableFuture<Void> answering = new CompletableFuture<>();
        CompletableFuture<?> unused = answering.whenComplete((nothing, cancelled) -> done.set(true));
        Thread thread = new Thread(() -> {
            for (int next = from; !done.get(); ) {
                if (next < engine.submitted.size()) {
                    engine.answer(next++);
                }
                Thread.onSpinWait();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return answering;
    }

    private static RawFrame recorded(long millisLater, String cameraId, long sequence) {
        RawFrame frame = TestFrames.cameraFrame(cameraId, sequence);
        return new RawFrame(
                frame.topic(),
                frame.partition(),
                frame.offset(),
                frame.timestampMillis() + millisLater,
                frame.key(),
                frame.value(),
                frame.trace());
    }

    /** Camera and sequence of the segmentation records, as they left. */
    private static List<String> results(OneInputStreamOperatorTestHarness<?, OutputMessage> harness) {
        return decode(harness, "segmentation", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getCameraId() + " "
                        + record.getHeader().getSequence())
                .toList();
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
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                new OneInputStreamOperatorTestHarness<>(new DenseInferenceOperator.Factory(
                        TestFrames.settings(settings), Map.of(), (unused, subtask) -> engine, clock));
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

    /** A clock that a test sets. */
    private static final class TestingClock extends Clock {
        private volatile long millis = TestFrames.RECORDED;

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
