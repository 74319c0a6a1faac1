package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.stream.CameraPublisher.Spread;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Timeout;

class CameraPublisherTest {
    @RepeatedTest(10) // it must not be missed between two looks
    @Timeout(60)
    void aCameraWhoseLibraryDoesNotLoadEndsThePublisher() throws Exception {
        Camera camera = new Camera() {
            @Override
            public String id() {
                return "north";
            }

            @Override
            public double framesPerSecond() {
                return 10;
            }

            @Override
            public Shot next() {
                throw new UnsatisfiedLinkError("no avformat");
            }

            @Override
            public void close() {}
        };
        JobSettings settings = JobSettings.load(
                null,
                Map.of(),
                List.of(
                        ServingOptions.MODEL_BUNDLE.key() + "=none",
                        InputOptions.BOOTSTRAP_SERVERS.key() + "=localhost:1")); // the camera fails before it is asked
        try (CameraPublisher publisher = new CameraPublisher(
                settings,
                List.of(camera),
                new Schedule(Schedule.UNPACED, 10, null),
                Spread.BY_NAME,
                1 << 20,
                (id, sequence, shot) -> {})) {
            assertThatThrownBy(() -> {
                        while (!publisher.finished()) {
                            Thread.onSpinWait();
                        }
                    })
                    .isInstanceOf(IOException.class)
                    .hasMessage("no avformat");
        }
    }
}
