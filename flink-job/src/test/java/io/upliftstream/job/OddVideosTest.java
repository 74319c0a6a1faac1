package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.apache.flink.api.common.accumulators.Accumulator;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Damaged and odd videos beside one that is whole: each packet ends as one thing, and the neighbour's pictures all come. */
@Timeout(1200)
class OddVideosTest extends OperatorTest {
    private static final List<String> CLIPS =
            List.of("long-b.h264", "open.h264", "interlaced.h264", "ten-bit.h264", "closed.h265", "open.h265");

    /** Packets by their sequences. */
    private record Odd(String name, List<RawFrame> records) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static Odd odd(String clip, String what, BiConsumer<List<byte[]>, Random> change) {
        List<byte[]> packets = Clip.packets(clip);
        change.accept(packets, new Random(what.hashCode()));
        List<RawFrame> records = new ArrayList<>();
        for (byte[] data : packets) {
            if (data.length > 0) { // else it was lost
                records.add(Clip.record("odd", records.size(), clip, data));
            }
        }
        return new Odd(clip + ": " + what, records);
    }

    private static Odd renumbered(String clip, String what, BiFunction<Integer, Integer, Integer> sequence) {
        List<byte[]> packets = Clip.packets(clip);
        List<RawFrame> records = new ArrayList<>();
        for (int i = 0; i < packets.size(); i++) {
            int number = sequence.apply(i, packets.size());
            if (number >= 0) {
                RawFrame record = Clip.record("odd", number, clip, packets.get(i));
                records.add(Clip.moved(record, record.partition(), 2000 + i));
            }
        }
        return new Odd(clip + ": " + what, records);
    }

    static Stream<Odd> odd() {
        List<Odd> all = new ArrayList<>();
        for (String clip : CLIPS) {
            all.add(renumbered(clip, "a packet lost that the sequence tells", (i, n) -> i == 4 ? -1 : i));
            all.add(odd(clip, "a packet lost that nothing tells", (packets, random) -> packets.set(4, new byte[0])));
            all.add(odd(
                    clip,
                    "a packet cut short",
                    (packets, random) -> packets.set(3, Arrays.copyOf(packets.get(3), packets.get(3).length / 2))));
            all.add(odd(
                    clip,
                    "bits that flip",
                    (packets, random) -> packets.forEach(packet -> {
                        if (random.nextInt(4) == 0) {
                            packet[random.nextInt(packet.length)] ^= (byte) (1 << random.nextInt(8));
                        }
                    })));
            all.add(odd(clip, "random bytes in its midst", (packets, random) -> {
                random.nextBytes(packets.get(6));
                random.nextBytes(packets.get(7));
            }));
        }
        String closed = "closed.h265";
        all.add(renumbered("open.h264", "begins behind its only clean key frame", (i, n) -> i < 5 ? -1 : i));
        all.add(renumbered("open.h265", "begins behind its only clean key frame", (i, n) -> i < 5 ? -1 : i));
        all.add(renumbered("long-b.h264", "no key frame at all", (i, n) -> i == 0 ? -1 : i));
        all.add(renumbered(closed, "every sequence the same", (i, n) -> 7));
        all.add(renumbered(closed, "sequences that fall", (i, n) -> n - i));
        all.add(renumbered(closed, "two cameras under one id", (i, n) -> i / 2));
        all.add(odd(closed, "packets in another order", (packets, random) -> Collections.shuffle(packets, random)));
        all.add(odd(closed, "nothing but random bytes", (packets, random) -> packets.forEach(random::nextBytes)));
        all.add(odd("long-b.h264", "parameter sets lost", (packets, random) -> {
            byte[] first = packets.get(0);
            first[4 + 2 + 4] = 12; // the SPS is filler now
        }));
        all.add(odd(
                "wide.h264",
                "another size in its midst",
                (packets, random) ->
                        packets.addAll(12, Clip.packets("long-b.h264").subList(0, 9))));
        List<RawFrame> two = new ArrayList<>(Clip.records("odd", closed).subList(0, 10));
        for (byte[] data : Clip.packets("wide.h264")) {
            two.add(Clip.record("odd", two.size(), "wide.h264", data));
        }
        all.add(new Odd("another codec in its midst", two));
        return all.stream();
    }

    @ParameterizedTest
    @MethodSource("odd")
    void everyPacketEndsAsOneThingAndTheNeighbourIsUnhurt(Odd odd) throws Exception {
        play(odd);
    }

    /** {@code -Duplift.video.fuzz.seconds=N}. */
    @Test
    void whateverIsInAVideoEveryPacketEndsAsOneThing() throws Exception {
        long end = System.nanoTime() + Integer.getInteger("uplift.video.fuzz.seconds", 3) * 1_000_000_000L;
        int played = 0;
        for (int seed = 0; System.nanoTime() < end; seed++) {
            Random random = new Random(seed);
            String clip = CLIPS.get(random.nextInt(CLIPS.size()));
            play(odd(clip, "seed " + seed, (packets, unused) -> {
                for (int changes = 1 + random.nextInt(12); changes > 0; changes--) {
                    byte[] packet = packets.get(random.nextInt(packets.size()));
                    if (packet.length == 0) {
                        continue;
                    }
                    int at = random.nextInt(packet.length);
                    switch (random.nextInt(5)) {
                        case 0 -> packet[at] ^= (byte) (1 << random.nextInt(8));
                        case 1 -> packet[at] = (byte) random.nextInt(256);
                        case 2 -> Arrays.fill(packet, at, Math.min(packet.length, at + 20), (byte) 0xFF);
                        case 3 -> packets.set(packets.indexOf(packet), Arrays.copyOf(packet, at));
                        default -> packets.add(random.nextInt(packets.size()), packet.clone());
                    }
                }
            }));
            played++;
        }
        System.out.printf("fuzzed videos: %d%n", played);
    }

    private void play(Odd odd) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open();
        engine.answerAll();
        List<RawFrame> neighbour = Clip.records("gate", "intra.h264");
        for (int i = 0; i < Math.max(odd.records().size(), neighbour.size()); i++) {
            if (i < odd.records().size()) {
                process(harness, odd.records().get(i));
            }
            if (i < neighbour.size()) {
                process(harness, neighbour.get(i));
            }
        }
        finish(harness);
        Map<String, Accumulator<?, ?>> totals =
                harness.getEnvironment().getAccumulatorRegistry().getUserMap();
        List<String> cameras = decode(harness, "segmentation", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getCameraId())
                .toList();
        long failures = decode(harness, "failures", FrameFailure.class).stream()
                .filter(failure -> failure.getHeader().getCameraId().equals("odd"))
                .count();
        long drops = dropped(harness);
        opened.remove(harness);
        harness.close();
        long passedOver =
                (Long) Objects.requireNonNull(totals.get("frames.passedOver")).getLocalValue();
        long results = Collections.frequency(cameras, "odd");
        assertThat(Collections.frequency(cameras, "gate"))
                .as("the neighbour of %s", odd)
                .isEqualTo(neighbour.size());
        assertThat(results + failures + drops + passedOver)
                .as("%s: %d results, %d failures, %d drops, %d passed over", odd, results, failures, drops, passedOver)
                .isEqualTo(odd.records().size());
    }
}
