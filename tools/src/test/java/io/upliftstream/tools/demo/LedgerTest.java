package io.upliftstream.tools.demo;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.HeadKind;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class LedgerTest {
    private final Ledger ledger = new Ledger(Set.of("segmentation", "depth"));

    private void published(long... sequences) {
        for (long sequence : sequences) {
            ledger.published("a", sequence, 100, null);
        }
    }

    private void result(long sequence) {
        ledger.result("a", sequence, "segmentation", HeadKind.SEGMENTATION);
        ledger.result("a", sequence, "depth", HeadKind.REGRESSION);
    }

    @Test
    void balancesWhenEveryFrameEndedOnce() {
        published(0, 1, 2, 3, 4);
        result(0);
        ledger.failed("a", 1);
        ledger.dropped("a", 2, 3, 2);
        assertThat(ledger.balanced()).as("frame 4 is on its way").isFalse();
        result(4);
        assertThat(ledger.balanced()).isTrue();
        assertThat(ledger.total()).isEqualTo(new Ledger.Account(5, 2, 1, 2));
        assertThat(ledger.records(HeadKind.SEGMENTATION)).isEqualTo(2);
    }

    @Test
    void aFrameIsOpenUntilEveryHeadHasItsRecord() {
        published(0);
        ledger.result("a", 0, "segmentation", HeadKind.SEGMENTATION);
        assertThat(ledger.settled()).isFalse();
        assertThat(ledger.total().results()).isZero();
        ledger.result("a", 0, "depth", HeadKind.REGRESSION);
        assertThat(ledger.settled()).isTrue();
    }

    @Test
    void aRepeatedResultIsNoBalance() {
        published(0);
        result(0);
        result(0);
        assertThat(ledger.balanced()).isFalse();
        assertThat(ledger.irregularities()).hasSize(2);
    }

    @Test
    void aFailureBesideAResultIsNoBalance() {
        published(0);
        result(0);
        ledger.failed("a", 0);
        assertThat(ledger.balanced()).isFalse();
    }

    @Test
    void aDropThatCountsOtherFramesThanItNamesIsNoBalance() {
        published(0, 1);
        ledger.dropped("a", 0, 1, 3);
        assertThat(ledger.balanced()).isFalse();
    }

    @Test
    void aFrameNobodyPublishedIsNoBalance() {
        result(7);
        assertThat(ledger.balanced()).isFalse();
    }

    @Test
    @Timeout(value = 1, unit = TimeUnit.MINUTES)
    void publishersWaitForRoom() throws InterruptedException {
        for (int sequence = 0; sequence < 256; sequence++) {
            ledger.awaitRoom();
            published(sequence);
        }
        Thread publisher = new Thread(() -> {
            try {
                ledger.awaitRoom();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        publisher.start();
        while (publisher.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }
        result(17);
        publisher.join();
    }
}
