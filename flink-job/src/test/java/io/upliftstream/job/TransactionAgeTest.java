package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TransactionAgeTest {
    private long seconds = -5;
    private final TransactionAge age =
            new TransactionAge(Duration.ofSeconds(10), () -> TimeUnit.SECONDS.toNanos(seconds));

    private void begins(long checkpoint, long second) throws IOException {
        seconds = second;
        age.begins(checkpoint);
    }

    @Test
    void checkpointsMayFailForAsLongAsTransactionsAreYoung() throws Exception {
        begins(1, 0);
        begins(2, 5);
        assertThatThrownBy(() -> begins(3, 6))
                .isInstanceOf(IOException.class)
                .hasMessageContainingAll(
                        "no checkpoint has completed for 11 s (expected: one in 10 s;",
                        "uplift.kafka.properties.transaction.timeout.ms");
    }

    @Test
    void aCheckpointCommitsWhatWasThereWhenItBegan() throws Exception {
        begins(1, 0);
        begins(2, 4);
        seconds = 9;
        age.completed(1); // results since second 0 are still in transactions
        begins(3, 10);
        assertThatThrownBy(() -> begins(4, 11)).isInstanceOf(IOException.class);
        age.completed(3);
        assertThatCode(() -> begins(5, 20)).doesNotThrowAnyException();
    }

    @Test
    void aCompletedCheckpointStandsForThoseBefore() throws Exception {
        begins(1, 0);
        begins(2, 4);
        age.completed(2);
        age.completed(1); // not known any more
        assertThatCode(() -> begins(3, 14)).doesNotThrowAnyException();
        assertThatThrownBy(() -> begins(4, 15)).isInstanceOf(IOException.class);
    }
}
