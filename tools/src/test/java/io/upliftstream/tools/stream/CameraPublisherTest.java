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
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class CameraPublisherTest {
    private static Camera camera(String id, boolean live, Callable<@Nullable Shot> next) {
        return new Camera() {
            @Override
            public boolean live() {
                return live;
            }

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
        Camera broken = camera("north", false, () -> {
            throw new UnsatisfiedLinkError("no avformat");
        });
        Camera halfBroken = camera("south", false, () -> {
            if (asked.incrementAndGet() < 3) {
                throw new UnreadableShotException("a.webp cannot be read");
            }
            return null;
        });
        try (CameraPublisher publisher = finished(List.of(broken, halfBroken), Schedule.UNPACED, 1 << 20)) {
            assertThat(publisher.news())
                    .containsExactlyInAnyOrder("north: no avformat", "south: a.webp cannot be read");
            assertThat(publisher.failed()).isEqualTo(3);
            assertThat(asked.get())
                    .as("goes on behind what cannot be read, and may ask once more behind the end")
                    .isBetween(3, 4);
        }
    }

    /** Each frame is too large to be sent, and counted as failed. */
    @Test
    @Timeout(60)
    void aLiveCameraDoesNotCatchUpAfterAStall() {
        AtomicInteger asked = new AtomicInteger();
        AtomicLong stalled = new AtomicLong();
        AtomicLong ended = new AtomicLong();
        Camera camera = camera("gate", true, () -> {
            if (asked.getAndIncrement() == 0) {
                Thread.sleep(1500); // the stall
                stalled.set(System.nanoTime());
            }
            ended.set(System.nanoTime());
            return asked.get() <= 1000 ? new Shot("frame", new byte[1], "jpeg", Duration.ZERO, null) : null;
        });
        try (CameraPublisher publisher = finished(List.of(camera), 100, 1)) {
            double seconds = (ended.get() - stalled.get()) / 1e9;
            assertThat((double) publisher.failed())
                    .as("a hundred a second, and not those of the stall")
                    .isBetween(1.0, 2 + 100 * seconds);
        }
    }

    /** Has published what the cameras have; nothing is sent. */
    private static CameraPublisher finished(List<Camera> cameras, double framesPerSecond, int maxRecordBytes) {
        JobSettings settings = JobSettings.load(
                null,
                Map.of(),
                List.of(
                        ServingOptions.MODEL_BUNDLE.key() + "=none",
                        InputOptions.BOOTSTRAP_SERVERS.key() + "=localhost:1"));
        CameraPublisher publisher = new CameraPublisher(
                settings,
                cameras,
                new Schedule(framesPerSecond, 1000, null),
                Spread.BY_NAME,
                maxRecordBytes,
                false,
                (id, sequence, shot) -> {});
        publisher.begin();
        while (!publisher.finished()) {
            Thread.onSpinWait();
        }
        return publisher;
    }
}
