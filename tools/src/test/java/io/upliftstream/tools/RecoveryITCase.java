package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

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
