package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SteadyClockTest {
    private static final long TEN_MINUTES = 600_000;

    private long elapsed = 5_000;
    private long wrong;
    private final SteadyClock clock = new SteadyClock(
            new Clock() {
                @Override
                public ZoneId getZone() {
                    return ZoneOffset.UTC;
                }

                @Override
                public Clock withZone(ZoneId zone) {
                    return this;
                }

                @Override
                public Instant instant() {
                    return Instant.ofEpochMilli(elapsed + wrong);
                }
            },
            () -> elapsed * 1_000_000);

    @Test
    void aLeapThatIsTakenBackIsNotSeen() {
        assertThat(clock.millis()).isEqualTo(5_000);
        for (long leap : new long[] {TEN_MINUTES, -TEN_MINUTES}) {
            wrong = leap;
            elapsed += 50_000;
            assertThat(clock.millis()).isEqualTo(elapsed);
            elapsed += 59_000;
            assertThat(clock.millis()).isEqualTo(elapsed);
            wrong = 0;
            elapsed += 59_000;
            assertThat(clock.millis()).isEqualTo(elapsed);
        }
    }

    @Test
    void aLeapThatLastsIsFollowed() {
        assertThat(clock.millis()).isEqualTo(5_000);
        wrong = TEN_MINUTES;
        assertThat(clock.millis()).isEqualTo(elapsed);
        elapsed += 60_000;
        assertThat(clock.millis()).isEqualTo(elapsed + TEN_MINUTES);
        assertThat(SteadyClock.elapsedMillis(clock)).as("durations do not").isEqualTo(elapsed);
    }

    @Test
    void smallStepsAreFollowedAtOnce() {
        assertThat(clock.millis()).isEqualTo(5_000);
        for (int step = 0; step < 10; step++) {
            wrong += 900;
            assertThat(clock.millis()).isEqualTo(elapsed + wrong);
            elapsed += 60_000;
            assertThat(clock.millis()).isEqualTo(elapsed + wrong);
        }
    }

    @Test
    void smallStepsThatAddUpToALeapTakeNoTimeBack() {
        assertThat(clock.millis()).isEqualTo(5_000);
        wrong = 600;
        assertThat(clock.millis()).isEqualTo(elapsed + 600);
        elapsed += 30_000;
        wrong = 1_200;
        assertThat(clock.millis()).isEqualTo(elapsed + 600);
        elapsed += 60_000;
        assertThat(clock.millis()).isEqualTo(elapsed + 1_200);
    }

    @ParameterizedTest
    @ValueSource(longs = {100, -100})
    void aDriftIsFollowedForASecondAndAgainAfterAMinute(long tenth) {
        for (int second = 0; second < 142; second++) {
            int followed = second <= 10 ? second : second < 71 ? 10 : Math.min(second, 81);
            assertThat(clock.millis()).as("second %d", second).isEqualTo(elapsed + followed * tenth);
            elapsed += 1_000;
            wrong += tenth;
        }
        assertThat(clock.millis()).isEqualTo(elapsed + wrong);
    }

    @ParameterizedTest
    @ValueSource(longs = {100, -100})
    void theEndOfADriftIsFollowedAtOnce(long tenth) {
        for (int second = 0; second < 70; second++) {
            clock.millis();
            elapsed += 1_000;
            wrong += tenth;
        }
        wrong = 0;
        assertThat(clock.millis()).isEqualTo(elapsed);
    }

    @Test
    void goesToTheMachineThatRunsTheJob() throws Exception {
        SteadyClock copy = InstantiationUtil.clone(SteadyClock.ofMachine());
        assertThat(copy.millis()).isCloseTo(System.currentTimeMillis(), within(60_000L));
    }

    @Test
    void aTaskThatRestartsGoesOnWithTheSameClock() throws Exception {
        assertThat(InstantiationUtil.clone(SteadyClock.ofMachine())).isSameAs(SteadyClock.ofMachine());
    }
}
