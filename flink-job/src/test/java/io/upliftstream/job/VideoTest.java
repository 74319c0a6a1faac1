package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Packets of videos through the operator, with a real decoder and a model whose answers a test gives. */
class VideoTest extends OperatorTest {
    private static final List<RawFrame> TOPIC = new ArrayList<>();

    /** The topic of a test. */
    private record Rereader() implements PacketReader {
        @Override
        public void read(Range range, Predicate<RawFrame> packets) {
            for (RawFrame record : List.copyOf(TOPIC)) {
                if (record.offset() >= range.from() && record.offset() <= range.to() && !packets.test(record)) {
                    return;
                }
            }
        }

        @Override
        public void close() {}
    }

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness(String... settings) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                harness(TestFrames.settings(settings), unused -> new Rereader());
        engine.answerAll();
        return harness;
    }

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> start(String... settings) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = harness(settings);
        harness.open();
        return harness;
    }

    /** All packets, then the end of the input. */
    private static void processAll(
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness, List<RawFrame> records)
            throws Exception {
        for (RawFrame record : records) {
            process(harness, record);
        }
        finish(harness);
    }

    private static void assertComplete(
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness, int packets) {
        assertThat(results(harness))
                .containsExactlyInAnyOrderElementsOf(IntStream.range(0, packets)
                        .mapToObj(sequence -> "yard " + sequence)
                        .toList());
    }

    @ParameterizedTest
    @ValueSource(strings = {"long-b.h264", "open.h264", "intra.h264", "interlaced.h264", "ten-bit.h264", "open.h265"})
    void everyPacketHasTheResultOfItsPicture(String clip) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = Clip.records("yard", clip);
        processAll(harness, records);
        assertComplete(harness, records.size());
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"long-b.h264", "open.h264", "intra.h264", "open.h265", "closed.h265"})
    void whereverAJobGoesOnEveryPictureComesOnceAndInTheSameOrder(String clip) throws Exception {
        List<RawFrame> records = Clip.records("yard", clip);
        TOPIC.clear();
        TOPIC.addAll(records);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> whole = start();
        processAll(whole, records);
        List<Long> expected = sequences(whole);

        for (int cut : new int[] {1, 3, 7, 8, 11}) {
            List<Long> sequences = new ArrayList<>();
            OperatorSubtaskState state = null;
            for (int from = 0; from < records.size(); from += cut) {
                OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = harness();
                if (state != null) {
                    harness.initializeState(state);
                }
                harness.open();
                process(harness, RawFrame.assignment("camera-frames", 3));
                process(harness, RawFrame.assignment("", -1));
                List<RawFrame> part = records.subList(from, Math.min(from + cut, records.size()));
                if (from + cut < records.size()) {
                    for (RawFrame record : part) {
                        process(harness, record);
                    }
                    harness.prepareSnapshotPreBarrier(from);
                    state = harness.snapshot(from, 0);
                } else {
                    processAll(harness, part);
                }
                sequences.addAll(sequences(harness));
            }
            assertThat(sequences).as("checkpoints after every %d packets", cut).isEqualTo(expected);
        }
    }

    @Test
    void aJobWithoutVideosHasNoStateAndOneWithThemAHundredBytesForEach() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        process(harness, TestFrames.cameraFrame("gate", 1));
        harness.prepareSnapshotPreBarrier(1);
        assertThat(harness.snapshot(1, 0).getManagedOperatorState()).isEmpty();
        for (RawFrame record : Clip.records("yard", "long-b.h264").subList(0, 50)) {
            process(harness, record);
        }
        harness.prepareSnapshotPreBarrier(2);
        assertThat(harness.snapshot(2, 0).getStateSize()).isBetween(50L, 700L);
    }

    @Test
    void packetsBeforeAKeyFrameAndBehindAGapAreDropsUntilTheNextKeyFrame() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = new ArrayList<>(Clip.records("yard", "closed.h265"));
        records.remove(5);
        records.remove(0);
        processAll(harness, records);
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .allMatch(drop -> drop.getReason().equals("NO_KEY_FRAME"));
        assertThat(dropped(harness)).isEqualTo(10);
        assertThat(results(harness)).hasSize(12);
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
    }

    @Test
    void aDamagedPacketIsAFailureAndDecodingBeginsAnewAtTheNextKeyFrame() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = new ArrayList<>();
        for (byte[] data : Clip.packets("wide.h264")) {
            if (records.size() == 5) {
                Arrays.fill(data, 12, data.length, (byte) 0xAA);
            }
            records.add(Clip.record("yard", records.size(), "wide.h264", data));
        }
        processAll(harness, records);
        List<FrameFailure> failures = decode(harness, "failures", FrameFailure.class);
        assertThat(failures).hasSize(1);
        assertThat(failures.get(0).getReason()).isEqualTo("CORRUPT_PACKET");
        assertThat(failures.get(0).getHeader().getSequence()).isEqualTo(5);
        assertThat(results(harness)).hasSize(17);
        assertThat(dropped(harness)).isEqualTo(6);
    }

    @ParameterizedTest
    @ValueSource(strings = {"every-n", "per-second", "key-frames"})
    void whatIsNotChosenIsPassedOver(String choice) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                start("uplift.video.frames", choice, "uplift.video.every-n", "5", "uplift.video.per-second", "5");
        processAll(harness, Clip.records("yard", "closed.h265"));
        assertThat(results(harness)).hasSize(choice.equals("key-frames") ? 2 : 5);
        assertThat(headers(harness).stream().map(RecordHeader::getCameraId)).containsOnly("yard");
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
    }

    @Test
    void inLiveModeWhatIsLateIsLetGo() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open("uplift.mode", "live");
        List<RawFrame> records = Clip.records("yard", "closed.h265");
        for (RawFrame record : records.subList(0, 20)) {
            process(harness, record);
        }
        while (engine.submitted.size() < 4) { // the places at the model
            runMails(harness);
        }
        clock.millis = TestFrames.RECORDED + 5000;
        engine.answerAll();
        processAll(harness, records.subList(20, records.size()));
        assertThat(results(harness)).hasSize(4);
        assertThat(decode(harness, "dropped", FrameDropped.class))
                .allMatch(drop -> drop.getReason().equals("MAX_AGE"));
        assertThat(dropped(harness)).isEqualTo(20);
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
    }

    @Test
    void packetsThatAreNoLongerOnTheTopicAreFailuresWithASentence() throws Exception {
        List<RawFrame> records = Clip.records("yard", "long-b.h264");
        TOPIC.clear();
        TOPIC.addAll(records.subList(15, records.size()));
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> first = start();
        for (RawFrame record : records.subList(0, 20)) {
            process(first, record);
        }
        first.prepareSnapshotPreBarrier(1);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> second = harness();
        second.initializeState(first.snapshot(1, 0));
        second.open();
        process(second, RawFrame.assignment("camera-frames", 3));
        processAll(second, records.subList(20, 30));
        List<Long> ended = new ArrayList<>(offsets(first));
        assertThat(ended.size()
                        + dropped(second)
                        + decode(second, "failures", FrameFailure.class).size())
                .isEqualTo(30);
        assertThat(results(second)).isEmpty();
    }

    private static int stateSize(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness, int checkpoint)
            throws Exception {
        harness.prepareSnapshotPreBarrier(checkpoint);
        return (int) harness.snapshot(checkpoint, 0).getStateSize();
    }

    @Test
    void packetsThatBringNeitherPictureNorProblemDoNotHeapUp() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records =
                new ArrayList<>(Clip.records("yard", "closed.h265").subList(0, 4));
        byte[] reserved = {0, 0, 0, 1, 22 << 1, 1, (byte) 0x80, 1, 2, 3};
        while (records.size() < 600) {
            records.add(Clip.record("yard", records.size(), "closed.h265", reserved));
        }
        for (RawFrame record : records) {
            process(harness, record);
        }
        assertThat(stateSize(harness, 1)).isLessThan(1500);
    }

    @Test
    void largeParameterSetsAreRefused() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        byte[] sets = new byte[100_000];
        Arrays.fill(sets, (byte) 0x55);
        System.arraycopy(new byte[] {0, 0, 0, 1, 0x67}, 0, sets, 0, 5);
        process(harness, Clip.record("yard", 0, "wide.h264", sets));
        processAll(harness, List.of());
        assertThat(decode(harness, "failures", FrameFailure.class))
                .extracting(FrameFailure::getReason)
                .containsExactly("VALUE_TOO_LARGE");
    }

    @Test
    void aSilentCameraThatComesBackOnAnotherPartitionDisturbsNothing() throws Exception {
        List<RawFrame> records = Clip.records("yard", "long-b.h264");
        TOPIC.clear();
        TOPIC.addAll(records);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        for (RawFrame record : records.subList(0, 20)) {
            process(harness, record);
        }
        harness.prepareSnapshotPreBarrier(1);
        clock.millis = TestFrames.RECORDED + 60_000;
        harness.setProcessingTime(60_000); // asleep, with pictures that are owed
        process(harness, Clip.moved(records.get(20), 4, 7));
        harness.prepareSnapshotPreBarrier(2);
        processAll(harness, records.subList(20, 30));
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
        assertComplete(harness, 30);
        assertThat(decode(harness, "dropped", FrameDropped.class)).hasSize(1);
    }

    @Test
    void whatIsTooFarBackIsAFailureAndDecodingGoesOnAtAKeyFrame() throws Exception {
        List<RawFrame> records = Clip.records("yard", "long-b.h264");
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        long far = 1000L + VideoStream.MAX_READ_AGAIN;
        for (RawFrame record : records.subList(0, 20)) {
            process(harness, Clip.moved(record, 3, record.offset() == 1000 ? 0 : far + record.offset()));
        }
        harness.prepareSnapshotPreBarrier(1);
        clock.millis = TestFrames.RECORDED + 60_000;
        harness.setProcessingTime(60_000);
        process(harness, Clip.moved(records.get(20), 3, far + 1020));
        processAll(harness, List.of());
        assertThat(decode(harness, "failures", FrameFailure.class))
                .isNotEmpty()
                .allMatch(failure -> failure.getMessage().contains("cannot be read again"));
        assertThat(results(harness).size()
                        + decode(harness, "failures", FrameFailure.class).size())
                .isEqualTo(20);
    }

    @Test
    void camerasThatFellSilentMakeRoomForNewOnes() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<byte[]> packets = Clip.packets("long-b.h264").subList(0, 4);
        for (int camera = 0; camera < VideoStreams.MAX_CAMERAS + 10; camera++) {
            if (camera == VideoStreams.MAX_CAMERAS) {
                harness.prepareSnapshotPreBarrier(1);
                clock.millis = TestFrames.RECORDED + 60_000;
                harness.setProcessingTime(60_000);
            }
            for (int i = 0; i < packets.size(); i++) {
                process(harness, Clip.record("camera " + camera, i, "long-b.h264", packets.get(i)));
            }
        }
        harness.prepareSnapshotPreBarrier(2);
        assertThat(decode(harness, "dropped", FrameDropped.class)).isEmpty();
        List<FrameFailure> failures = decode(harness, "failures", FrameFailure.class);
        assertThat(failures).isNotEmpty().allMatch(failure -> failure.getReason()
                .equals("NO_PICTURE"));
        assertThat(failures)
                .extracting(failure -> failure.getHeader().getCameraId())
                .contains("camera 0", "camera 9");
        TOPIC.clear();
    }

    @Test
    void picturesAtTheModelDoNotCrowdOutWhatArrives() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open("uplift.mode", "live", "uplift.queue.max-bytes", "64 kb", "uplift.frame.max-bytes", "30 kb");
        List<RawFrame> records = Clip.records("yard", "wide.h264");
        for (RawFrame record : records) {
            process(harness, record);
            while (record.offset() == 1008 && engine.submitted.size() < 4) { // the places at the model
                runMails(harness);
            }
        }
        engine.answerAll();
        processAll(harness, List.of());
        assertThat(decode(harness, "dropped", FrameDropped.class)).isEmpty();
        assertThat(results(harness)).hasSize(records.size());
    }
}
