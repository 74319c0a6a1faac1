package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Exactly-once with the inference operator failing on purpose in mid-stream. */
class RecoveryITCase {
    private static final int FRAMES = 12;
    private static final List<String> CAMERAS = List.of("north", "south");
    private static final AtomicInteger SUBMITTED = new AtomicInteger();

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void everyFrameComesOutOnceAndInOrderAfterTheOperatorFailed() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "recovery", 2, 1 << 20);
            for (int camera = 0; camera < CAMERAS.size(); camera++) {
                publish(topics, camera);
            }
            JobSettings settings = topics.settings(
                    "uplift.parallelism=2",
                    "restart-strategy.type=fixed-delay",
                    "restart-strategy.fixed-delay.attempts=10",
                    "restart-strategy.fixed-delay.delay=10 ms");
            SUBMITTED.set(0);
            ModelIdentity model = FailingEngine.runWithRestarts(settings, RecoveryITCase::isNinthOrSeventeenth);
            assertThat(headers(topics, "read_committed"))
                    .allSatisfy(header -> assertThat(header.getModel()).contains(model));

            assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                    .isEmpty();
            List<RecordHeader> segmentation = headers(topics, "read_committed");
            List<RecordHeader> features = topics.read("features", "read_committed", FeatureRecord.class).stream()
                    .map(FeatureRecord::getHeader)
                    .toList();
            for (String camera : CAMERAS) {
                assertThat(sequences(segmentation, camera)).containsExactlyElementsOf(expected());
                assertThat(sequences(features, camera)).containsExactlyElementsOf(expected());
            }
            // The failures did undo work: without transactions some frames would be seen twice.
            assertThat(headers(topics, "read_uncommitted")).hasSizeGreaterThan(segmentation.size());
        }
    }

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aJobWhoseBundleIsAwayWhenItIsStartedAgainGoesOnWhenTheBundleIsBack(@TempDir Path directory) throws Exception {
        String bundle = TinyBundle.copy(directory, "bundle").toString();
        String away = directory.resolve("away").toString();
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "away", 1, 1 << 20);
            for (int sequence = 0; sequence < FRAMES; sequence++) {
                byte[] image = TinyBundle.image(sequence);
                topics.send(
                        0,
                        "north",
                        SingleObject.encode(
                                Topics.frame("north", sequence, image).build()));
            }
            JobSettings settings = topics.settings(
                    "uplift.model.bundle=" + bundle,
                    "restart-strategy.type=fixed-delay",
                    "restart-strategy.fixed-delay.attempts=1000",
                    "restart-strategy.fixed-delay.delay=100 ms");
            SUBMITTED.set(0);
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(
                        env,
                        settings,
                        (given, subtask) -> new FailingEngine(
                                FrameEngine.ofBundle(given, subtask), () -> isFifth() && moved(bundle, away)));
                EmbeddedFlink.Job job = flink.submit(env);
                while (job.restarts() < 3) {
                    job.throwIfEnded();
                    Thread.sleep(50);
                }
                assertThat(moved(away, bundle)).isTrue();
                job.awaitEnd();
            }

            assertThat(sequences(headers(topics, "read_committed"), "north")).containsExactlyElementsOf(expected());
        }
    }

    private static boolean isFifth() {
        return SUBMITTED.incrementAndGet() == 5;
    }

    private static boolean moved(String from, String to) {
        try {
            return Files.exists(Files.move(Path.of(from), Path.of(to)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void publish(Topics topics, int camera) throws Exception {
        try (SyntheticCamera street = new SyntheticCamera(CAMERAS.get(camera), 20_100 + camera, 160, 96, 10, 0.9)) {
            for (int sequence = 0; sequence < FRAMES; sequence++) {
                topics.send(
                        camera,
                        street.id(),
                        SingleObject.encode(Topics.frame(
                                        street.id(), sequence, street.next().image())
                                .build()));
            }
        }
    }

    private static List<RecordHeader> headers(Topics topics, String isolation) {
        return topics.read("segmentation", isolation, SegmentationRecord.class).stream()
                .map(SegmentationRecord::getHeader)
                .toList();
    }

    private static List<Long> sequences(List<RecordHeader> headers, String camera) {
        return headers.stream()
                .filter(header -> header.getCameraId().equals(camera))
                .map(RecordHeader::getSequence)
                .toList();
    }

    private static List<Long> expected() {
        return LongStream.range(0, FRAMES).boxed().toList();
    }

    private static boolean isNinthOrSeventeenth() {
        int count = SUBMITTED.incrementAndGet();
        return count == 9 || count == 17;
    }
}
