package io.upliftstream.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ProcessSampleTest {
    @Test
    void slopeIsPerMinuteAndLeavesTheFirstSixthOut() {
        // 10 s apart; the first 10 samples are far off, then 3 MB per minute.
        List<ProcessSample> samples = IntStream.range(0, 60)
                .mapToObj(i -> new ProcessSample(10 * i, i < 10 ? 0.0 : 500 + 0.5 * i, 100, 40, 0))
                .toList();
        assertThat(ProcessSample.slopePerMinute(samples, ProcessSample::residentOrNaN))
                .isCloseTo(3, within(1e-9));
        assertThat(ProcessSample.slopePerMinute(samples, ProcessSample::threads))
                .isZero();
    }

    @Test
    void oneSampleHasNoSlope() {
        List<ProcessSample> one = List.of(ProcessSample.now(0, 0));
        assertThat(ProcessSample.slopePerMinute(one, ProcessSample::threads)).isNaN();
    }
}
