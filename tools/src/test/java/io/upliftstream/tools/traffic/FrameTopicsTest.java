package io.upliftstream.tools.traffic;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class FrameTopicsTest {
    private static final int PARTITIONS = 64;
    private static final int TIMES = 3;

    /** A batch that a partition takes before it has taken the one that came first keeps that one out for ever. */
    @Test
    @Timeout(value = 3, unit = TimeUnit.MINUTES)
    void whatIsSentTheMomentAfterTopicsWereCreatedIsTaken() throws Exception {
        List<String> cameras =
                IntStream.range(0, 10 * PARTITIONS).mapToObj(i -> "camera-" + i).toList();
        Shot image = new Shot("image", new byte[2000], "jpeg", Duration.ZERO, null);
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Admin admin = kafka.admin()) {
            for (int i = 0; i < TIMES; i++) {
                FrameTopics topics = new FrameTopics("time-" + i + "-", PARTITIONS);
                try (OpenLoop publisher = new OpenLoop(
                        kafka.bootstrapServers(), topics, cameras, List.of(image), new Account(Set.of("classes")))) {
                    topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
                    CompletableFuture<Void> published = publisher.publishing(Double.POSITIVE_INFINITY, cameras.size());
                    assertThat(OpenLoop.isOver(published, 20_000))
                            .as("time %d", i)
                            .isTrue();
                }
            }
        }
    }
}
