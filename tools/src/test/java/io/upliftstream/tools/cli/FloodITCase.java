package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Records that are made to fill a job's memory, beside a camera that means well, for a job with a small heap. */
class FloodITCase {
    private static final int GOOD = 100;
    private static final long HOUR = TimeUnit.HOURS.toMillis(1);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private int sent;

    @Test
    @Timeout(value = 15, unit = TimeUnit.MINUTES)
    void everyFrameIsAccountedForInAHeapOf256Megabytes() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "flood", 1, 1 << 20);
            publish(kafka.bootstrapServers(), topics.name("camera-frames"));
            List<String> arguments = new ArrayList<>(List.of("run"));
            topics.assignments(
                            "uplift.model.bundle="
                                    + ModelTroubleITCase.TINY.toAbsolutePath().normalize(),
                            "uplift.mode=live",
                            "uplift.max-age=30 min",
                            "uplift.input.start=earliest",
                            "uplift.kafka.timeout=2 min",
                            "restart-strategy.type=none")
                    .forEach(assignment -> arguments.addAll(List.of("--set", assignment)));

            UpliftProcess ended = UpliftProcess.run(directory, arguments, "-Xmx256m");

            assertThat(ended.exitCode()).as(ended.output()).isZero();
            List<SegmentationRecord> results =
                    topics.read("segmentation", "read_uncommitted", SegmentationRecord.class);
            List<FrameFailure> failures = topics.read("failures", "read_uncommitted", FrameFailure.class);
            List<FrameDropped> dropped = topics.read("dropped", "read_uncommitted", FrameDropped.class);
            assertThat(results.size()
                            + failures.size()
                            + dropped.stream().mapToLong(FrameDropped::getCount).sum())
                    .isEqualTo(sent);
            assertThat(results.stream()
                            .filter(record -> record.getHeader().getCameraId().equals("good")))
                    .hasSize(GOOD);
            assertThat(failures)
                    .extracting(FrameFailure::getReason)
                    .contains("NOT_A_FRAME", "EMPTY_VALUE", "CORRUPT_IMAGE", "NOT_AN_IMAGE");
        }
    }

    private void publish(String servers, String topic) throws Exception {
        byte[] image = ModelTroubleITCase.image(1);
        byte[] claims = image.clone(); // to have 35 megapixels in a hundred bytes
        claims[17] = (byte) 0x00;
        claims[18] = (byte) 0x17;
        claims[22] = (byte) 0x17;
        String name = "n".repeat(3 << 20);
        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", servers, "max.request.size", 16 << 20),
                new StringSerializer(),
                new ByteArraySerializer())) {
            for (int i = 0; i < GOOD; i++) {
                send(producer, topic, 0, "good", frame("good", i, image));
                // stale, with names of 3 MB
                send(producer, topic, -HOUR, "stale", frame(i + name, 1, image));
                // keys and garbage of 1 MB each
                send(producer, topic, 0, name.substring(0, (1 << 20) + i), new byte[1 << 20]);
                for (int k = 0; k < 20; k++) { // cameras that nobody has, from the future
                    String invented = "invented-" + (20 * i + k) + "q".repeat(200);
                    send(producer, topic, HOUR, invented, frame(invented, 1, image));
                }
                for (int k = 0; k < 5; k++) { // one frame again and again
                    send(producer, topic, 0, "twice", frame("twice", 1, image));
                }
                send(producer, topic, 0, "claims", frame("claims", i, claims));
                send(producer, topic, 0, "none", frame("none", i, new byte[] {1}));
                send(producer, topic, 0, null, null);
            }
        }
    }

    private void send(
            KafkaProducer<String, byte[]> producer,
            String topic,
            long millisFromNow,
            @Nullable String key,
            byte @Nullable [] value) {
        sent++;
        var unused =
                producer.send(new ProducerRecord<>(topic, 0, System.currentTimeMillis() + millisFromNow, key, value));
    }

    private static byte[] frame(String cameraId, long sequence, byte[] image) {
        return SingleObject.encode(Topics.frame(cameraId, sequence, image).build());
    }
}
