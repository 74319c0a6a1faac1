package io.upliftstream.tools.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class InFlightTest {
    private final InFlight inFlight = new InFlight();

    @Test
    void aFramesLabelsAreKnownUntilItEnds() {
        byte[] labels = {1, 2};
        inFlight.published("a", 0, 100, labels);
        assertThat(inFlight.labels("a", 0)).isSameAs(labels);
        assertThat(inFlight.latencyMillis(50)).isZero();
        inFlight.ended("a", 0, true);
        assertThat(inFlight.labels("a", 0)).isNull();
        assertThat(inFlight.latencyMillis(50)).isPositive();
        assertThat(inFlight.seconds()).isPositive();
    }

    @Test
    void slowFirstFramesDoNotCountOnceThereAreOthers() throws InterruptedException {
        for (int sequence = 0; sequence < 4; sequence++) {
            inFlight.published("a", sequence, 100, null);
        }
        Thread.sleep(500);
        for (int sequence = 0; sequence < 4; sequence++) {
            inFlight.ended("a", sequence, true);
        }
        assertThat(inFlight.latencyMillis(99)).isGreaterThanOrEqualTo(500);
        inFlight.published("a", 4, 100, null);
        inFlight.ended("a", 4, true);
        assertThat(inFlight.latencyMillis(99)).isLessThan(500);
    }

    @Test
    @Timeout(value = 1, unit = TimeUnit.MINUTES)
    void publishersWaitForRoom() throws InterruptedException {
        for (int sequence = 0; sequence < 256; sequence++) {
            inFlight.awaitRoom();
            inFlight.published("a", sequence, 100, null);
        }
        Thread publisher = new Thread(() -> {
            try {
                inFlight.awaitRoom();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        publisher.start();
        while (publisher.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }
        inFlight.ended("a", 17, false);
        publisher.join();
    }
}
