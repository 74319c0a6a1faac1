package io.upliftstream.tools.traffic;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.camera.Shot;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class OpenLoopTest {
    @Test
    @Timeout(value = 1, unit = TimeUnit.MINUTES)
    void whoWaitsForABrokerThatIsAwayCanBeKilledAndItsFrameIsWithdrawn() throws Exception {
        Account account = new Account(Set.of("classes"));
        Shot image = new Shot("image", new byte[] {1}, "jpeg", Duration.ZERO, null);
        try (OpenLoop camera = new OpenLoop(
                "127.0.0.1:9", new FrameTopics("nowhere-", 1), List.of("camera"), List.of(image), account)) {
            CompletableFuture<Void> published = CompletableFuture.runAsync(() -> {
                try {
                    camera.publish(Double.POSITIVE_INFINITY, 1);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            while (account.balance().published() == 0) {
                assertThat(published).isNotDone();
                Thread.sleep(1);
            }
            camera.kill();
            published.join();
            assertThat(account.balance().published()).isZero();
        }
    }
}
