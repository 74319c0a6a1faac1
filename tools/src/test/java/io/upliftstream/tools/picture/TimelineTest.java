package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class TimelineTest {
    private static final long SECOND = 1_000_000;

    private static List<Long> positions(Timeline timeline, @Nullable Long... times) {
        List<Long> positions = new ArrayList<>();
        Arrays.asList(times).forEach(time -> positions.add(timeline.next(time)));
        return positions;
    }

    @Test
    void timesThatGoOnStay() {
        Timeline timeline = Timeline.of(10);
        assertThat(positions(timeline, 7 * SECOND, 7 * SECOND + 1, 8 * SECOND, 17 * SECOND))
                .containsExactly(0L, 1L, SECOND, 10 * SECOND);
        assertThat(timeline.continued()).isZero();
        assertThat(positions(Timeline.of(0.05), 0L, 20 * SECOND, 60 * SECOND))
                .containsExactly(0L, 20 * SECOND, 60 * SECOND);
    }

    @Test
    void missingEqualBackwardAndLeapingTimesAreOneStepAfter() {
        assertThat(positions(Timeline.of(10), null, null, null)).containsExactly(0L, SECOND / 10, SECOND / 5);
        assertThat(positions(Timeline.of(10), 0L, null, SECOND / 5)).containsExactly(0L, SECOND / 10, SECOND / 5);
        Timeline timeline = Timeline.of(10);
        assertThat(positions(timeline, 5L, 5L, 0L, 100_000L, 99 * SECOND, 99 * SECOND + 40_000))
                .containsExactly(0L, 100_000L, 200_000L, 300_000L, 400_000L, 440_000L);
        assertThat(timeline.continued()).isEqualTo(3);
    }

    @Test
    void recordsGoOnAtTheStepOfThoseBefore() {
        Timeline timeline = Timeline.ofRecords();
        assertThat(positions(timeline, 0L, 40_000L, 40_000L, Long.MIN_VALUE, Long.MAX_VALUE, 0L, 30 * 60 * SECOND))
                .containsExactly(0L, 40_000L, 80_000L, 120_000L, 160_000L, 200_000L, 200_000L + 30 * 60 * SECOND);
    }
}
