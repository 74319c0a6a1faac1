package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameDropped;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** Packets in live mode: what is late, or has no room, is let go, most of it undecoded. */
class LiveVideoTest extends VideoOperatorTest {
    /** An operator whose model does not answer. */
    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> live(String... settings) throws Exception {
        String[] all = Arrays.copyOf(settings, settings.length + 2);
        all[settings.length] = "uplift.mode";
        all[settings.length + 1] = "live";
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = harness(all);
        harness.open();
        return harness;
    }

    /** Packets that were given to a decoder. */
    private long decoded() {
        return metric("packetMicros", Histogram.class).getCount();
    }

    @Test
    void inLiveModeWhatIsLateIsLetGo() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = live();
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
        assertThat(drops(harness)).allMatch(drop -> drop.getReason().equals("MAX_AGE"));
        assertThat(dropped(harness)).isEqualTo(20);
        assertThat(failures(harness)).isEmpty();
        assertThat(decoded()).as("of which some before the newest key frame").isBetween(13L, 22L);
    }

    @Test
    void picturesAtTheModelDoNotCrowdOutWhatArrives() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                live("uplift.queue.max-bytes", "64 kb", "uplift.frame.max-bytes", "30 kb");
        List<RawFrame> records = Clip.records("yard", "wide.h264");
        for (RawFrame record : records) {
            process(harness, record);
            while (record.offset() == 1008 && engine.submitted.size() < 4) { // the places at the model
                runMails(harness);
            }
        }
        engine.answerAll();
        processAll(harness, List.of());
        assertThat(drops(harness)).isEmpty();
        assertThat(results(harness)).hasSize(records.size());
    }

    @Test
    void withoutANewerKeyFrameReferencesAloneAreDecoded() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = live();
        clock.millis = TestFrames.RECORDED + 60_000;
        List<RawFrame> records = new ArrayList<>();
        for (byte[] data : Clip.packets("long-b.h264")) {
            int slice = 6 + 4; // behind the delimiter, in every packet but the first
            if (records.size() > 0 && (data[slice - 1] & 0x60) == 0) { // nal_ref_idc: no other picture needs it
                Arrays.fill(data, slice, data.length, (byte) 0xAA); // a failure if it were decoded
            }
            records.add(Clip.record("yard", records.size(), "long-b.h264", data));
        }
        processAll(harness, records);
        assertThat(failures(harness)).isEmpty();
        assertThat(drops(harness)).allMatch(drop -> drop.getReason().equals("MAX_AGE"));
        assertThat(dropped(harness)).isEqualTo(records.size());
    }

    @Test
    void packetsThatWaitForTheirDecoderMakeRoom() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                live("uplift.queue.max-bytes", "8 kb", "uplift.frame.max-bytes", "4 kb");
        List<RawFrame> records = Clip.records("yard", "wide.h264");
        for (RawFrame record : records) {
            process(harness, record); // what the decoder brings is not taken
        }
        engine.answerAll();
        processAll(harness, List.of());
        assertThat(drops(harness)).extracting(FrameDropped::getReason).contains("QUEUE_FULL");
        assertThat(results(harness).size() + dropped(harness)).isEqualTo(records.size());
        assertThat(failures(harness)).isEmpty();
    }
}
