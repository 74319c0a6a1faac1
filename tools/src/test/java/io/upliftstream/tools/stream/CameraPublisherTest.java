package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.UnreadableShotException;
import io.upliftstream.tools.stream.CameraPublisher.Spread;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class CameraPublisherTest {
    private static Camera camera(String id, Callable<@Nullable Shot> next) {
        return new Camera() {
            @Override
            public String id() {
                return id;
            }

            @Override
            public double framesPerSecond() {
                return 10;
            }

            @Override
            public @Nullable Shot next() throws IOException {
                try {
                    return next.call();
                } catch (IOException | RuntimeException e) {
                    throw e;
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            }

            @Override
            public void close() {}
        };
    }

    @Test
    @Timeout(60)
    void aCameraThatFailsIsNamedAndTheOthersGoOn() throws Exception {
        AtomicInteger asked = new AtomicInteger();
        Camera broken = camera("north", () -> {
            throw new UnsatisfiedLinkError("no avformat");
        });
        Camera halfBroken = camera("south", () -> {
            if (asked.incrementAndGet() < 3) {
                throw new UnreadableShotException("a.webp cannot be read");
            }
            return null;
        });
        JobSettings settings = JobSettings.load(
                null,
                Map.of(),
                List.of(
                        ServingOptions.MODEL_BUNDLE.key() + "=none",
                        InputOptions.BOOTSTRAP_SERVERS.key() + "=localhost:1")); // nothing is sent
        try (CameraPublisher publisher = new CameraPublisher(
                settings,
                List.of(broken, halfBroken),
                new Schedule(Schedule.UNPACED, 10, null),
                Spread.BY_NAME,
                1 << 20,
                false,
                (id, sequence, shot) -> {})) {
            publisher.begin();
            while (!publisher.finished()) {
                Thread.onSpinWait();
            }
            assertThat(publisher.news())
                    .containsExactlyInAnyOrder("north: no avformat", "south: a.webp cannot be read");
            assertThat(publisher.failed()).isEqualTo(3);
            assertThat(asked.get())
                    .as("goes on behind what cannot be read, and may ask once more behind the end")
                    .isBetween(3, 4);
        }
    }
}
