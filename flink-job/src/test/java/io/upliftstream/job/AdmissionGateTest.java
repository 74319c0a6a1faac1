package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.job.ServingOptions.AgeFrom;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.StageTimings;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import org.junit.jupiter.api.Test;

class AdmissionGateTest {
    /** A frame recorded at RECORDED and captured 5 ms before. */
    private final Frame frame = parse();

    @Test
    void liveModeRefusesWhatIsOlderThanMaxAge() {
        assertThat(admits(Mode.LIVE, AgeFrom.RECORD, 99)).isTrue();
        assertThat(admits(Mode.LIVE, AgeFrom.RECORD, 100)).isTrue();
        assertThat(admits(Mode.LIVE, AgeFrom.RECORD, 101)).isFalse();
    }

    @Test
    void ageCountsFromCaptureOnRequest() {
        assertThat(admits(Mode.LIVE, AgeFrom.CAPTURE, 95)).isTrue();
        assertThat(admits(Mode.LIVE, AgeFrom.CAPTURE, 96)).isFalse();
    }

    @Test
    void losslessModeAdmitsEveryAge() {
        assertThat(admits(Mode.LOSSLESS, AgeFrom.RECORD, 1_000_000_000)).isTrue();
    }

    @Test
    void aFrameFromTheFutureIsYoung() {
        assertThat(gate(Mode.LIVE, AgeFrom.RECORD, -3000).ageMillis(frame)).isEqualTo(-3000);
        assertThat(admits(Mode.LIVE, AgeFrom.RECORD, -3000)).isTrue();
    }

    @Test
    void aFrameThatComesFromMoreThanASecondAheadIsCounted() {
        AdmissionGate gate = gate(Mode.LIVE, AgeFrom.RECORD, 0);
        assertThat(gate.isAheadOfClock(frame, -1000)).isFalse();
        assertThat(gate.isAheadOfClock(frame, -1001)).isTrue();
        assertThat(gate.isAheadOfClock(frame, -1001)).as("again").isTrue();
    }

    @Test
    void aFrameThatWouldExpireBeforeTheModelIsNotAdmitted() {
        AdmissionGate gate = gate(Mode.LIVE, AgeFrom.RECORD, 70);
        assertThat(gate.admits(frame, false)).isTrue();
        gate.waited(new StageTimings(10_000_000, 25_000_000, 0, 0, 1));
        assertThat(gate.admits(frame, false)).as("70 + 35 > 100").isFalse();
        assertThat(gate.inTime(frame)).isTrue();
        for (int i = 0; i < 10; i++) {
            gate.waited(new StageTimings(0, 0, 0, 0, 1));
        }
        assertThat(gate.admits(frame, false)).isTrue();
    }

    @Test
    void howeverLongTheWaitFreshFramesAreAdmitted() {
        AdmissionGate gate = gate(Mode.LIVE, AgeFrom.RECORD, 50);
        gate.waited(new StageTimings(0, 1_000_000_000, 0, 0, 1));
        assertThat(gate.admits(frame, false)).isTrue();
    }

    private boolean admits(Mode mode, AgeFrom from, long millisAfterRecording) {
        AdmissionGate gate = gate(mode, from, millisAfterRecording);
        assertThat(gate.inTime(frame)).isEqualTo(gate.admits(frame, false));
        return gate.admits(frame, false);
    }

    private static AdmissionGate gate(Mode mode, AgeFrom from, long millisAfterRecording) {
        Instant now = Instant.ofEpochMilli(TestFrames.RECORDED + millisAfterRecording);
        return new AdmissionGate(mode, Duration.ofMillis(100), from, Clock.fixed(now, ZoneOffset.UTC));
    }

    private static Frame parse() {
        try {
            return new FrameParser(InputFormat.AUTO, 1000).parse(TestFrames.cameraFrame("north", 1));
        } catch (FrameProblem e) {
            throw new AssertionError(e);
        }
    }
}
