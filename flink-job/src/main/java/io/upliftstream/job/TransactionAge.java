package io.upliftstream.job;

import java.io.IOException;
import java.time.Duration;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.function.LongSupplier;

/**
 * How long results have waited for a checkpoint to commit them. They wait in Kafka's transactions, which the broker aborts at
 * {@code transaction.timeout.ms}. A checkpoint that completed after that would say that the frames are done, and Flink's sink
 * would log that their results are gone, and go on. So the task ends before, and its frames are worked on again.
 */
final class TransactionAge {
    private final Duration limit;
    private final LongSupplier nanoTime;

    /** When the checkpoints began that may still complete. */
    private final NavigableMap<Long, Long> begun = new TreeMap<>();

    /** The oldest transaction that is not committed began then, or later. */
    private long since;

    /** @param limit the greatest age at which a checkpoint that takes as long as one may is still in time */
    TransactionAge(Duration limit, LongSupplier nanoTime) {
        this.limit = limit;
        this.nanoTime = nanoTime;
        since = nanoTime.getAsLong();
    }

    /** @throws IOException if the checkpoint might complete too late */
    void begins(long checkpoint) throws IOException {
        long now = nanoTime.getAsLong();
        Duration age = Duration.ofNanos(now - since);
        if (age.compareTo(limit) > 0) {
            throw new IOException(("no checkpoint has completed for %d s (expected: one in %d s; or a larger"
                            + " %stransaction.timeout.ms, which the brokers have to allow). Starting again from the last one,"
                            + " before Kafka aborts the transactions that results wait in")
                    .formatted(age.toSeconds(), limit.toSeconds(), JobSettings.KAFKA_PROPERTIES));
        }
        begun.put(checkpoint, now);
    }

    void completed(long checkpoint) {
        Long at = begun.get(checkpoint);
        if (at != null) {
            since = at;
        }
        begun.headMap(checkpoint, true).clear();
    }
}
