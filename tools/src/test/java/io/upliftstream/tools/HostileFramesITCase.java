package io.upliftstream.tools;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What may lie on a topic, between good frames. */
class HostileFramesITCase {
    private static final String LONG = "z".repeat(6 << 20);

    /** Every mask fits: two bytes a pixel at most. */
    private static final int MAX_SEGMENTATION_BYTES = 160 << 10;

    @SuppressWarnings("ArrayRecordComponent") // bytes that go on the wire
    private record Hostile(@Nullable String key, byte @Nullable [] value, String stage, String reason) {}

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void eachBecomesOneFailureRecordAndTheFramesAroundItAreProcessed() throws Exception {
        byte[] image;
        try (SyntheticCamera street = new SyntheticCamera("street", 20_200, 160, 96, 10, 0.9)) {
            image = street.next().image();
        }
        Map<String, Hostile> hostile = hostile(image);

        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "hostile", 1, MAX_SEGMENTATION_BYTES);
            Map<Long, String> names = new LinkedHashMap<>();
            long sequence = 0;
            for (Map.Entry<String, Hostile> entry : hostile.entrySet()) {
                topics.send(
                        0,
                        "good",
                        SingleObject.encode(
                                Topics.frame("good", sequence++, image).build()));
                RecordMetadata at =
                        topics.send(0, entry.getValue().key(), entry.getValue().value());
                names.put(at.offset(), entry.getKey());
            }
            topics.send(
                    0,
                    "good",
                    SingleObject.encode(Topics.frame("good", sequence++, image).build()));

            JobSettings settings = topics.settings();
            Topics.runWithoutRestart(settings);

            List<FrameFailure> failures = topics.read("failures", "read_committed", FrameFailure.class);
            assertThat(failures).hasSameSizeAs(names.keySet());
            for (FrameFailure failure : failures) {
                SourcePosition source = failure.getHeader().getSource();
                String name = names.getOrDefault(source.getOffset(), "at " + source);
                Hostile expected = requireNonNull(hostile.get(name), name);
                assertThat(source.getTopic()).isEqualTo(topics.name("camera-frames"));
                assertThat(source.getPartition()).isZero();
                assertThat(failure.getReason()).as(name).isEqualTo(expected.reason());
                assertThat(failure.getStage()).as(name).isEqualTo(expected.stage());
                assertThat(failure.getMessage()).as(name).contains("expected");
            }
            assertThat(topics.read("segmentation", "read_committed", SegmentationRecord.class))
                    .extracting(record -> record.getHeader().getSequence())
                    .hasSize((int) sequence)
                    .isSorted();
            assertThat(topics.read("features", "read_committed", FeatureRecord.class))
                    .hasSize((int) sequence);
        }
    }

    /** Topics that take next to nothing, headers that hold too much, and a frame that comes twice. */
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void whateverDoesNotFitIsToldInWhatFits() throws Exception {
        byte[] image;
        try (SyntheticCamera street = new SyntheticCamera("street", 20_201, 160, 96, 10, 0.9)) {
            image = street.next().image();
        }
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "narrow", 1, 1024, 8192);
            byte[] value =
                    SingleObject.encode(Topics.frame("y".repeat(5000), 1, image).build());
            List<Header> headers = new ArrayList<>();
            for (int i = 0; i < 10_000; i++) {
                headers.add(new RecordHeader("noise", new byte[100]));
            }
            headers.add(new RecordHeader("traceparent", new byte[5 << 20]));
            topics.send(0, "twice", value);
            topics.send(0, "twice", value);
            topics.send(0, null, value, headers);
            topics.send(0, null, null, headers);
            for (int i = 0; i < 100; i++) { // small records share a batch, which has the topic's limit, too
                topics.send(0, "q".repeat(5000) + i % 3, new byte[] {1, 2, 3});
            }

            Topics.runWithoutRestart(topics.settings());

            List<FrameFailure> failures = topics.read("failures", "read_committed", FrameFailure.class);
            assertThat(failures)
                    .extracting(FrameFailure::getReason)
                    .containsOnly("RESULT_TOO_LARGE", "EMPTY_VALUE", "NOT_A_FRAME")
                    .hasSize(104);
            assertThat(failures)
                    .extracting(failure -> failure.getHeader().getCameraId())
                    .allSatisfy(id -> assertThat(id).hasSizeLessThanOrEqualTo(256));
            assertThat(failures.stream()
                            .map(failure -> failure.getHeader().getCameraId())
                            .distinct())
                    .as("one that is long, none, and three more that are")
                    .hasSize(5);
        }
    }

    /** A failure record that the topic took when the job was made, and not any more when it comes. */
    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void aLimitThatWasLoweredMeanwhileCostsOneRestart() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "lowered", 1, MAX_SEGMENTATION_BYTES);
            topics.send(0, "large", new byte[100_000]);
            JobSettings settings = topics.settings();
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(env, settings);
                ConfigResource failures = new ConfigResource(ConfigResource.Type.TOPIC, topics.name("failures"));
                ConfigEntry limit = new ConfigEntry("max.message.bytes", "8192");
                kafka.admin()
                        .incrementalAlterConfigs(
                                Map.of(failures, List.of(new AlterConfigOp(limit, AlterConfigOp.OpType.SET))))
                        .all()
                        .get();
                EmbeddedFlink.Job job = flink.submit(env);
                job.awaitEnd();
                assertThat(job.restarts()).isOne();
            }
            assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                    .extracting(FrameFailure::getOriginalLength, FrameFailure::getOriginal)
                    .containsExactly(tuple(100_000L, Optional.empty()));
        }
    }

    private static Map<String, Hostile> hostile(byte[] image) throws IOException {
        byte[] random = new byte[5000];
        new Random(1).nextBytes(random);
        Map<String, Hostile> hostile = new LinkedHashMap<>();
        hostile.put("no value", new Hostile("bad", null, "parse", "EMPTY_VALUE"));
        hostile.put("empty value", new Hostile("bad", new byte[0], "parse", "EMPTY_VALUE"));
        hostile.put("random bytes", new Hostile("bad", random, "parse", "NOT_A_FRAME"));
        hostile.put(
                "truncated JPEG",
                new Hostile("bad", Arrays.copyOf(image, image.length / 2), "decode", "CORRUPT_IMAGE"));
        hostile.put("30,000 x 30,000 pixels", new Hostile("bad", claiming(image, 30_000), "decode", "TOO_LARGE"));
        hostile.put("foreign Avro schema", new Hostile("bad", foreign(), "parse", "MALFORMED_RECORD"));
        hostile.put(
                "no camera id in the record",
                new Hostile(
                        "bad", SingleObject.encode(Topics.frame("", 1, image).build()), "parse", "MISSING_CAMERA_ID"));
        hostile.put("no key with a bare image", new Hostile(null, image, "parse", "MISSING_CAMERA_ID"));
        hostile.put(
                "a key and a camera id of 6 MB",
                new Hostile(
                        LONG,
                        SingleObject.encode(
                                Topics.frame(LONG, 1, new byte[] {1, 2, 3}).build()),
                        "decode",
                        "NOT_AN_IMAGE"));
        hostile.put("a key of 6 MB without a frame", new Hostile(LONG, new byte[] {1}, "parse", "NOT_A_FRAME"));
        hostile.put(
                "a trace context of 12 MB",
                new Hostile(
                        "bad",
                        SingleObject.encode(Topics.frame("bad", 1, new byte[] {1})
                                .setTraceparent(LONG)
                                .setTracestate(LONG)
                                .build()),
                        "decode",
                        "NOT_AN_IMAGE"));
        hostile.put("a thousand scans", new Hostile("bad", scans(1000), "decode", "TOO_LARGE"));
        return hostile;
    }

    /** The JPEG with other numbers in its frame header (FF C0: length, precision, height, width). */
    private static byte[] claiming(byte[] jpeg, int side) {
        byte[] changed = jpeg.clone();
        for (int i = 0; i < changed.length - 9; i++) {
            if ((changed[i] & 0xff) == 0xff && (changed[i + 1] & 0xff) == 0xc0) {
                for (int at : new int[] {i + 5, i + 7}) {
                    changed[at] = (byte) (side >> 8);
                    changed[at + 1] = (byte) side;
                }
                return changed;
            }
        }
        throw new AssertionError("no frame header in the JPEG");
    }

    /** A progressive JPEG whose last scan comes so often. */
    private static byte[] scans(int times) throws IOException {
        byte[] jpeg =
                Files.readAllBytes(Path.of("..", "model", "src", "test", "resources", "images", "progressive.jpg"));
        int end = jpeg.length - 2; // before the end-of-image marker
        int scan = end - 1;
        while ((jpeg[scan] & 0xff) != 0xff || (jpeg[scan + 1] & 0xff) != 0xda) {
            scan--;
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(jpeg, 0, end);
        for (int i = 0; i < times; i++) {
            bytes.write(jpeg, scan, end - scan);
        }
        bytes.write(jpeg, end, 2);
        return bytes.toByteArray();
    }

    private static byte[] foreign() throws IOException {
        Schema schema = SchemaBuilder.record("Invoice")
                .namespace("com.example")
                .fields()
                .requiredString("customer")
                .requiredLong("cents")
                .endRecord();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        new BinaryMessageEncoder<GenericData.Record>(new GenericData(), schema)
                .encode(
                        new GenericRecordBuilder(schema)
                                .set("customer", "c")
                                .set("cents", 1L)
                                .build(),
                        bytes);
        return bytes.toByteArray();
    }
}
