package io.upliftstream.tools.cli;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import java.time.Duration;
import java.util.Optional;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Notices when the Kafka of a command that runs on is away, and when it is back: its clients go on trying without a word. */
final class BrokerWatch {
    private static final Duration BETWEEN_LOOKS = Duration.ofSeconds(5);
    private static final Duration PATIENCE = Duration.ofSeconds(3);

    private final String servers;
    private final KafkaTopics topics;
    private KafkaFuture<String> pinged;
    private volatile boolean silent; // to the last ping; any answer, a refusal too, is one
    private long lookedNanos = System.nanoTime();
    private @Nullable Long lostNanos;

    BrokerWatch(JobSettings settings, KafkaTopics topics) {
        servers = settings.get(InputOptions.BOOTSTRAP_SERVERS);
        this.topics = topics;
        pinged = ping();
    }

    /** Looks, if it is time to; a sentence when something has changed. */
    Optional<String> news() {
        long now = System.nanoTime();
        if (now - lookedNanos < BETWEEN_LOOKS.toNanos()) {
            return Optional.empty();
        }
        lookedNanos = now;
        Optional<String> refusal = KafkaTopics.refusal(servers, PATIENCE).or(this::silence);
        if (refusal.isPresent() && lostNanos == null) {
            lostNanos = now;
            return Optional.of(
                    "Kafka at %s does not answer (%s); goes on when it is back".formatted(servers, refusal.get()));
        }
        if (refusal.isEmpty() && lostNanos != null) {
            long seconds = Duration.ofNanos(now - lostNanos).toSeconds();
            lostNanos = null;
            return Optional.of("Kafka at %s is back after %d s".formatted(servers, seconds));
        }
        return Optional.empty();
    }

    /** A broker that hangs still takes connections: its system does. */
    private Optional<String> silence() {
        if (pinged.isDone()) {
            pinged = ping();
        }
        return silent ? Optional.of("it takes connections and says nothing") : Optional.empty();
    }

    private KafkaFuture<String> ping() {
        return topics.ping().whenComplete((id, failure) -> silent = failure instanceof TimeoutException);
    }

    /** Whether there was no answer at the last look. */
    boolean isLost() {
        return lostNanos != null;
    }
}
