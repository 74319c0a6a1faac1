package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.SingleObject;
import java.util.Collection;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Commands that a test gives. */
@SuppressWarnings("serial") // never serialised
final class TestingControl implements ModelControl {
    private @Nullable Listener listener;
    long offset = 5;
    String topic = "control";

    @Nullable
    String missingTopic;

    @Override
    public String topic() {
        return topic;
    }

    @Override
    public long start() {
        return offset;
    }

    @Override
    public Runnable listen(long from, Listener taking) {
        offset = from;
        listener = taking;
        return () -> listener = null;
    }

    @Override
    public Map<String, Integer> topicLimits(Collection<HeadSpec> heads) {
        if (missingTopic != null) {
            throw new StartupException(StartupException.ENVIRONMENT, "output topic: " + missingTopic + " is not there");
        }
        return Map.of();
    }

    CompletableFuture<?> send(byte @Nullable [] value) {
        return Objects.requireNonNull(listener).command(value, ++offset);
    }

    CompletableFuture<?> send(ModelCommand.Builder command) {
        return send(SingleObject.encode(command.build()));
    }
}
