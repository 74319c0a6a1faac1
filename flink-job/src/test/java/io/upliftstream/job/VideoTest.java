package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.FrameException;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.schemas.WireFormat;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Packets of videos through the operator, with a real decoder and a model whose answers a test gives. */
class VideoTest extends VideoOperatorTest {
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
        assertThat(failures(harness)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"long-b.h264", "open.h264", "intra.h264", "open.h265", "closed.h265"})
    void whereverAJobGoesOnEveryPictureComesOnceAndInTheSameOrder(String clip) throws Exception {
        List<RawFrame> records = Clip.records("yard", clip);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> whole = start();
        processAll(whole, records);
        List<Long> expected = sequences(whole);

        for (int cut : new int[] {1, 3, 7, 8, 11}) {
            assertThat(sequencesOverRestarts(records, cut))
                    .as("checkpoints after every %d packets", cut)
                    .isEqualTo(expected);
        }
    }

    @Test
    void aJobWithoutVideosHasNoStateAndOneWithThemAHundredBytesForEach() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        process(harness, TestFrames.cameraFrame("gate", 1));
        harness.prepareSnapshotPreBarrier(1);
        assertThat(harness.snapshot(1, 0).getManagedOperatorState()).isEmpty();
        List<Integer> sizes = new ArrayList<>();
        for (int camera = 0; camera <= 10; camera++) {
            for (RawFrame record : Clip.records("yard " + camera, "long-b.h264").subList(0, 50)) {
                process(harness, record);
            }
            sizes.add(stateSize(harness, 2 + camera));
        }
        assertThat((sizes.get(10) - sizes.get(0)) / 10).isBetween(50, 250);
    }

    /** Else the decoder would go on without them, and nobody would hear of it. */
    @Test
    void packetsWaitForTheRegistryAlsoWhenTheyAreReadAgain() throws Exception {
        try (StubRegistry registry = new StubRegistry()) {
            registry.schema = SingleObject.schema(VideoPacket.class);
            String[] settings = {
                "uplift.schema-registry.url", registry.url(), "uplift.schema-registry.timeout", "300 ms"
            };
            TOPIC.clear();
            List<RawFrame> records = Clip.records("yard", "long-b.h264");
            for (RawFrame record : records.subList(0, 8)) {
                byte[] value =
                        WireFormat.encode(SingleObject.decode(record.value(), VideoPacket.class), StubRegistry.ID);
                TOPIC.add(TestFrames.raw(record.offset(), "yard", value));
            }
            var before = start(settings);
            process(before, RawFrame.assignment("camera-frames", 3));
            process(before, RawFrame.assignment("", -1));
            for (RawFrame record : TOPIC) {
                process(before, record);
            }
            before.prepareSnapshotPreBarrier(1);
            OperatorSubtaskState state = before.snapshot(1, 0);
            assertThat(failures(before)).isEmpty();

            registry.status = 500;
            var after = resume(state, settings);
            opened.remove(after); // it cannot come to an end
            assertThatThrownBy(() -> {
                        process(after, RawFrame.assignment("camera-frames", 3));
                        process(after, RawFrame.assignment("", -1));
                        process(after, records.get(8)); // needs no registry
                        after.prepareSnapshotPreBarrier(2);
                    })
                    .hasMessageContaining("packets of camera yard cannot be read again: schema id");
        }
    }

    @Test
    void packetsBeforeAKeyFrameAndBehindAGapAreDropsUntilTheNextKeyFrame() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = new ArrayList<>(Clip.records("yard", "closed.h265"));
        records.remove(5);
        records.remove(0);
        processAll(harness, records);
        List<FrameDropped> drops = drops(harness);
        assertThat(drops).allMatch(drop -> drop.getReason().equals("NO_KEY_FRAME"));
        assertThat(dropped(harness)).isEqualTo(10);
        assertThat(results(harness)).hasSize(12);
        assertThat(failures(harness)).isEmpty();
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
        List<FrameFailure> failures = failures(harness);
        assertThat(failures).hasSize(1);
        assertThat(failures.get(0).getReason()).isEqualTo("CORRUPT_PACKET");
        assertThat(failures.get(0).getHeader().getSequence()).isEqualTo(5);
        assertThat(results(harness)).hasSize(17);
        assertThat(dropped(harness)).isEqualTo(6);
    }

    @Test
    void theFailureOfAPictureHasLengthAndHashOfItsPacket() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = harness();
        harness.open();
        List<RawFrame> records = Clip.records("yard", "intra.h264").subList(0, 2);
        for (RawFrame record : records) {
            process(harness, record);
        }
        while (engine.submitted.size() < 2) {
            runMails(harness);
        }
        engine.fail(1, new FrameException(FrameException.Reason.MODEL_FAILED, "model: fails on purpose"));
        engine.answer(0);
        processAll(harness, List.of());
        byte[] packet = Objects.requireNonNull(records.get(1).value());
        assertThat(failures(harness)).hasSize(1).allSatisfy(failure -> {
            assertThat(failure.getReason()).isEqualTo("MODEL_FAILED");
            assertThat(failure.getOriginalLength()).isEqualTo(packet.length);
            assertThat(failure.getOriginalSha256()).isEqualTo(BoundedText.sha256(packet));
            assertThat(failure.getOriginal()).isEmpty();
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"every-n", "per-second", "key-frames"})
    void whatIsNotChosenIsPassedOver(String choice) throws Exception {
        String[] settings = {"uplift.video.frames", choice, "uplift.video.every-n", "5", "uplift.video.per-second", "5"
        };
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start(settings);
        List<RawFrame> records = Clip.records("yard", "closed.h265");
        processAll(harness, records);
        int results = choice.equals("key-frames") ? 2 : 5;
        assertThat(results(harness)).hasSize(results);
        assertThat(headers(harness).stream().map(RecordHeader::getCameraId)).containsOnly("yard");
        assertThat(failures(harness)).isEmpty();
        assertThat(drops(harness)).isEmpty();
        assertThat(metric("passedOver", Counter.class).getCount()).isEqualTo(records.size() - results);
        assertThat(sequencesOverRestarts(records, 7, settings)).isEqualTo(sequences(harness));
    }

    @Test
    void aPacketThatComesTwiceIsADropAndDisturbsNothing() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = Clip.records("yard", "closed.h265");
        records.add(4, records.get(3));
        for (int i = 0; i < records.size(); i++) {
            records.set(i, Clip.moved(records.get(i), 3, 1000 + i));
        }
        processAll(harness, records);
        assertThat(results(harness)).hasSize(24);
        assertThat(drops(harness)).extracting(FrameDropped::getReason).containsExactly("NO_KEY_FRAME");
        assertThat(dropped(harness)).isEqualTo(1);
        assertThat(failures(harness)).isEmpty();
    }

    @Test
    void leadingPicturesOfAnOpenGroupThatNothingCameBeforeAreDrops() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = Clip.records("yard", "open.h264");
        processAll(harness, records.subList(5, records.size()));
        assertThat(failures(harness)).isEmpty();
        assertThat(drops(harness)).allMatch(drop -> drop.getReason().equals("NO_KEY_FRAME"));
        assertThat(dropped(harness)).isEqualTo(5 + 2); // before the key frame, and shown before it
        assertThat(results(harness)).hasSize(24);
    }

    /** Packets without parameter sets in their data; the first one has them beside these. */
    private static List<RawFrame> withSetsApart(String clip) {
        List<RawFrame> records = new ArrayList<>();
        for (byte[] data : Clip.packets(clip)) {
            RawFrame record = Clip.record("yard", records.size(), clip, data);
            VideoPacket packet = SingleObject.decode(Objects.requireNonNull(record.value()), VideoPacket.class);
            Codec codec = Codec.valueOf(packet.getCodec().name());
            byte[] sets = AccessUnit.of(codec, data).parameterSets();
            String rest = Pattern.compile("(?=\0\0\0\1)|(?<!\0)(?=\0\0\1)")
                    .splitAsStream(new String(data, StandardCharsets.ISO_8859_1))
                    .filter(nal -> AccessUnit.of(codec, nal.getBytes(StandardCharsets.ISO_8859_1))
                                    .parameterSets()
                                    .length
                            == 0)
                    .collect(Collectors.joining());
            VideoPacket apart = VideoPacket.newBuilder(packet)
                    .setData(ByteBuffer.wrap(rest.getBytes(StandardCharsets.ISO_8859_1)))
                    .setParameterSets(records.isEmpty() ? ByteBuffer.wrap(sets) : null)
                    .build();
            records.add(TestFrames.raw(record.offset(), "yard", SingleObject.encode(apart)));
        }
        return records;
    }

    @ParameterizedTest
    @ValueSource(strings = {"long-b.h264", "closed.h265"})
    void parameterSetsThatAreStatedOnceServeEveryKeyFrame(String clip) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<RawFrame> records = withSetsApart(clip);
        processAll(harness, records);
        assertThat(results(harness)).hasSize(records.size());
        // The second key frame of closed.h265 is the thirteenth packet.
        assertThat(sequencesOverRestarts(records, 15)).isEqualTo(sequences(harness));
    }

    @Test
    void packetsThatAreNoLongerOnTheTopicAreFailuresWithASentence() throws Exception {
        List<RawFrame> records = Clip.records("yard", "long-b.h264");
        TOPIC.clear();
        TOPIC.addAll(records.subList(18, records.size()));
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> first = start();
        for (RawFrame record : records.subList(0, 20)) {
            process(first, record);
        }
        first.prepareSnapshotPreBarrier(1);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> second = resume(first.snapshot(1, 0));
        process(second, RawFrame.assignment("camera-frames", 3));
        processAll(second, records.subList(20, 30));
        List<FrameFailure> failures = failures(second);
        assertThat(failures)
                .isNotEmpty()
                .allMatch(failure -> failure.getReason().equals("NO_PICTURE"))
                .allMatch(failure -> failure.getMessage().contains("no longer on the topic"))
                .allMatch(failure -> failure.getOriginalLength() == 0);
        assertThat(offsets(first).size() + dropped(second) + failures.size()).isEqualTo(30);
        assertThat(results(second)).isEmpty();
    }

    private static int stateSize(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness, int checkpoint)
            throws Exception {
        harness.prepareSnapshotPreBarrier(checkpoint);
        return (int) harness.snapshot(checkpoint, 0).getStateSize();
    }

    private int decoders() {
        return (Integer) metric("decoders", Gauge.class).getValue();
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
        assertThat(failures(harness)).extracting(FrameFailure::getReason).containsExactly("VALUE_TOO_LARGE");
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
        assertThat(decoders()).isEqualTo(1);
        harness.setProcessingTime(60_000); // asleep, with pictures that are owed
        assertThat(decoders()).isZero();
        process(harness, Clip.moved(records.get(20), 4, 7));
        harness.prepareSnapshotPreBarrier(2);
        processAll(harness, records.subList(20, 30));
        assertThat(metric("readAgain", Counter.class).getCount()).isEqualTo(20);
        assertThat(failures(harness)).isEmpty();
        assertComplete(harness, 30);
        assertThat(drops(harness)).hasSize(1);
    }

    @Test
    void aLeapOfTheClockThatStaysClosesNoDecoder() throws Exception {
        AtomicLong elapsed = new AtomicLong();
        operatorClock = new SteadyClock(clock, () -> TimeUnit.MILLISECONDS.toNanos(elapsed.get()));
        List<RawFrame> records = Clip.records("yard", "long-b.h264");
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        process(harness, records.get(0));
        clock.millis = TestFrames.RECORDED + 600_000;
        process(harness, records.get(1));
        elapsed.set(59_000);
        clock.millis = TestFrames.RECORDED + 659_000;
        process(harness, records.get(2));
        harness.prepareSnapshotPreBarrier(1);
        elapsed.set(61_000);
        clock.millis = TestFrames.RECORDED + 661_000;

        harness.setProcessingTime(61_000);

        assertThat(operatorClock.millis()).as("it follows").isEqualTo(clock.millis);
        assertThat(decoders()).isEqualTo(1);
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
        assertThat(failures(harness)).isNotEmpty().allMatch(failure -> failure.getMessage()
                .contains("cannot be read again"));
        assertThat(results(harness).size() + failures(harness).size()).isEqualTo(20);
    }

    @Test
    void camerasThatFellSilentMakeRoomForNewOnes() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = start();
        List<byte[]> packets = Clip.packets("long-b.h264").subList(0, 4);
        for (int camera = 0; camera < VideoStreams.MAX_CAMERAS + 10; camera++) {
            if (camera == VideoStreams.MAX_CAMERAS) {
                harness.prepareSnapshotPreBarrier(1);
                process(harness, Clip.record("one too many", 0, "long-b.h264", packets.get(0)));
                clock.millis = TestFrames.RECORDED + 60_000;
                harness.setProcessingTime(60_000);
            }
            for (int i = 0; i < packets.size(); i++) {
                process(harness, Clip.record("camera " + camera, i, "long-b.h264", packets.get(i)));
            }
        }
        harness.prepareSnapshotPreBarrier(2);
        assertThat(drops(harness))
                .hasSize(1)
                .allMatch(drop -> drop.getReason().equals("QUEUE_FULL")
                        && drop.getHeader().getCameraId().equals("one too many"));
        List<FrameFailure> failures = failures(harness);
        assertThat(failures).isNotEmpty().allMatch(failure -> failure.getReason()
                .equals("NO_PICTURE"));
        assertThat(failures)
                .extracting(failure -> failure.getHeader().getCameraId())
                .contains("camera 0", "camera 9");
        TOPIC.clear();
    }
}
