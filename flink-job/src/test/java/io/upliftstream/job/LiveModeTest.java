package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** Which frames live mode lets go, and how it counts them. */
class LiveModeTest extends OperatorTest {
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
    void aWaitInThePastDoesNotKeepACameraFromAnIdleModelForEver() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "100 ms");
        process(harness, TestFrames.cameraFrame("north", 0));
        engine.submitted.get(0).complete(TestFrames.waited(80));
        runMails(harness);

        clock.millis = TestFrames.RECORDED + 70; // its frames arrive so old
        for (int i = 0; i < 20; i++) {
            process(harness, TestFrames.cameraFrame("south", i));
        }
        assertThat(engine.submitted).hasSizeGreaterThan(1);
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

    @Test
    void oneBatchMoreThanIsComputedIsAtTheModel() throws Exception {
        engine.calls = 2;
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.max-age", "1 s");
        for (int i = 0; i < 9; i++) {
            process(harness, TestFrames.cameraFrame("north", i));
        }
        assertThat(engine.submitted).as("3 batches of 2").hasSize(6);
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
}
