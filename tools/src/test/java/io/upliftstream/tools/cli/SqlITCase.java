package io.upliftstream.tools.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code uplift sql}: what scripts find on topics is what the job and a Java subscriber make of the same frames. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class SqlITCase {
    private static final Path EXAMPLE = Path.of("..", "flink-sql", "examples", "pedestrians.sql");
    private static final String BROKER = "localhost:9092";
    private static final int FRAMES = 6;
    /** Not long ago, since brokers delete records by their timestamps. */
    private final Instant start = Instant.now().truncatedTo(ChronoUnit.MINUTES).minus(10, ChronoUnit.MINUTES);

    @TempDir
    private Path directory = Path.of(".");

    private final StringWriter errors = new StringWriter();

    /** What the example says of a camera in a minute. */
    private record Count(long pedestrianPixels, long frames, long failures) {
        Count and(Count other) {
            return new Count(
                    pedestrianPixels + other.pedestrianPixels, frames + other.frames, failures + other.failures);
        }
    }

    @Test
    void theExampleCountsWhatTheJobsRecordsHold() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "sql", 2, 1 << 20);
            publish(kafka, topics);
            JobSettings settings = topics.settings();
            Topics.runWithoutRestart(settings);

            Map<String, Count> expected = new TreeMap<>();
            List<Long> persons = new ArrayList<>();
            for (SegmentationRecord record : topics.read("segmentation", "read_committed", SegmentationRecord.class)) {
                int person = record.getClassNames().indexOf("person");
                long pixels = 0;
                for (byte label : MaskCodec.decode(record.getMask())) {
                    pixels += label == person ? 1 : 0;
                }
                persons.add(pixels);
                expected.merge(
                        key(record.getHeader().getCameraId(), record.getHeader().getSource()),
                        new Count(pixels, 1, 0),
                        Count::and);
            }
            for (FrameFailure failure : topics.read("failures", "read_committed", FrameFailure.class)) {
                expected.merge(
                        key(
                                failure.getHeader().getCameraId(),
                                failure.getHeader().getSource()),
                        new Count(0, 0, 1),
                        Count::and);
            }
            assertThat(persons).hasSize(2 * FRAMES).anyMatch(pixels -> pixels > 0);

            String example = Files.readString(EXAMPLE)
                    .replace(BROKER, kafka.bootstrapServers())
                    .replace("'camera-frames'", "'" + topics.name("camera-frames") + "'")
                    .replace("model/bundles/street'", Topics.BUNDLE.toAbsolutePath() + "', 'precision' = 'fp32'");
            Map<String, Count> found = new TreeMap<>();
            for (JsonNode row : rows(example)) {
                found.put(
                        row.get("camera").asText() + " "
                                + LocalDateTime.parse(row.get("minute").asText()),
                        new Count(
                                row.get("pedestrian_pixels").asLong(),
                                row.get("frames").asLong(),
                                row.get("failures").asLong()));
            }
            assertThat(found).isEqualTo(expected);

            String records =
                    """
                    LOAD MODULE uplift;
                    CREATE TABLE segmentation (v BYTES) WITH ('connector' = 'kafka', 'topic' = '%s',
                      'properties.bootstrap.servers' = '%s', 'properties.isolation.level' = 'read_committed',
                      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = 'raw');
                    SELECT RECORD_HEADER(v).camera_id AS camera, CLASS_HISTOGRAM(v)['person'] AS person,
                      CLASS_SHARE(v, 'person') AS share, RECORD_PROBLEM(v) AS problem FROM segmentation;
                    """
                            .formatted(topics.name("segmentation"), kafka.bootstrapServers());
            List<JsonNode> ofTopic = rows(records);
            assertThat(ofTopic)
                    .extracting(row -> row.get("person").asLong())
                    .containsExactlyInAnyOrderElementsOf(persons);
            assertThat(ofTopic).allSatisfy(row -> {
                assertThat(row.get("camera").asText()).isIn("gate", "yard");
                assertThat(row.get("share").asDouble())
                        .isEqualTo(row.get("person").asLong() / (320.0 * 192));
                assertThat(row.get("problem").isNull()).isTrue();
            });
        }
    }

    @Test
    void whatIsWrongNamesItsStatementAndLine() throws IOException {
        assertThat(sql("SELECT 1;\n\nSELECT 2 FORM t;")).isEqualTo(2);
        assertThat(errors.toString()).contains("line 3, SELECT 2 FORM t: ", "at line 3, column 15");
        assertThat(sql("CREATE TABLE t (f BYTES) WITH ('jaas' = 'password='s3cret';');"))
                .isEqualTo(2);
        assertThat(errors.toString()).contains("Encountered … at line 1").doesNotContain("s3cret");
        assertThat(sql("CREATE MODEL m INPUT (image BYTES) OUTPUT (segmentation INT)"
                        + " WITH ('provider' = 'uplift', 'bundle' = 'x');\nCREATE TABLE t (f BYTES) WITH ('connector' = 'datagen',"
                        + " 'number-of-rows' = '1');\nSELECT * FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(f))"))
                .isEqualTo(2);
        assertThat(errors.toString()).contains("line 3, ", "model output column segmentation: INT (expected: BYTES");
        assertThat(sql("CREATE MODEL m INPUT (image BYTES) OUTPUT (segmentation BYTES)"
                        + " WITH ('provider' = 'uplift', 'bundle' = '" + directory.resolve("none")
                        + "');\nCREATE TABLE t (f BYTES) WITH ('connector' = 'datagen', 'number-of-rows' = '1');"
                        + "\nSELECT * FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(f))"))
                .isEqualTo(3);
        assertThat(errors.toString())
                .contains("line 3, ", directory.resolve("none").toString());
        assertThat(Uplift.run(new String[] {"sql", "nowhere.sql"}, new PrintWriter(errors, true)))
                .isEqualTo(3);
    }

    @Test
    void aQueryWithoutEndEndsAfterItsRows() throws Exception {
        List<JsonNode> rows = rows(
                "SET 'parallelism.default' = '1';\nCREATE TABLE t (f BIGINT) WITH ('connector' = 'datagen',"
                        + " 'fields.f.kind' = 'sequence', 'fields.f.start' = '5', 'fields.f.end' = '1000000');\nSELECT f FROM t");
        assertThat(rows)
                .hasSize(20)
                .first()
                .extracting(row -> row.get("f").asLong())
                .isEqualTo(5L);
    }

    @Test
    void insertsGoOnBesideWhatFollowsAndAreWaitedFor() throws Exception {
        String source = " WITH ('connector' = 'datagen', 'number-of-rows' = '3', 'fields.f.kind' = 'sequence',"
                + " 'fields.f.start' = '1', 'fields.f.end' = '3');\n";
        String sink = " WITH ('connector' = 'blackhole');\n";
        assertThat(rows("CREATE TABLE t (f BIGINT)" + source
                        + "CREATE TABLE a (f STRING)" + sink
                        + "CREATE TABLE b (f STRING)" + sink
                        + "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CAST(f AS STRING) FROM t;"
                        + " INSERT INTO b SELECT CAST(f AS STRING) FROM t; END;\n"
                        + "SELECT COUNT(*) AS `n.n` FROM t;\nSHOW TABLES"))
                .hasSize(1 + 2 * 2 + 3)
                .last()
                .isEqualTo(new JsonMapper().readTree("{\"table name\": \"t\"}"));
    }

    @Test
    void anInsertThatFailsEndsWhatFollows() throws Exception {
        String failing =
                """
                CREATE TABLE t (f BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
                CREATE TABLE n (f BIGINT) WITH ('connector' = 'blackhole');
                INSERT INTO n SELECT f FROM t;
                INSERT INTO n SELECT CAST('x' || CAST(f AS STRING) AS BIGINT) FROM t;
                """;
        for (String script : List.of(failing, failing + "SELECT f FROM t")) {
            assertThat(sql(script)).isEqualTo(1);
            assertThat(errors.toString()).contains("line 4, INSERT");
        }
    }

    private static String key(String camera, SourcePosition source) {
        Instant minute = Instant.ofEpochMilli(source.getTimestampMillis()).truncatedTo(ChronoUnit.MINUTES);
        return camera + " " + LocalDateTime.ofInstant(minute, ZoneId.systemDefault());
    }

    /** Two cameras over several minutes, one of bare images, one of records; and what is no image. */
    private void publish(EmbeddedKafka kafka, Topics topics) throws Exception {
        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                        Map.of("bootstrap.servers", kafka.bootstrapServers()),
                        new StringSerializer(),
                        new ByteArraySerializer());
                SyntheticCamera street = new SyntheticCamera("street", 20_600, 320, 192, 10, 0.9)) {
            for (int i = 0; i < FRAMES; i++) {
                long time = start.plusSeconds(25L * i).toEpochMilli();
                byte[] image = requireNonNull(street.next()).image();
                send(producer, topics, 0, time, "gate", image);
                byte[] other = requireNonNull(street.next()).image();
                send(
                        producer,
                        topics,
                        1,
                        time,
                        "yard",
                        SingleObject.encode(Topics.frame("yard", i, other).build()));
            }
            send(producer, topics, 0, start.plusSeconds(200).toEpochMilli(), "gate", new byte[] {1, 2, 3});
        }
    }

    private static void send(
            KafkaProducer<String, byte[]> producer, Topics topics, int partition, long time, String key, byte[] value)
            throws Exception {
        producer.send(new ProducerRecord<>(topics.name("camera-frames"), partition, time, key, value))
                .get();
    }

    private int sql(String script, String... more) throws IOException {
        Path file = directory.resolve("script.sql");
        Files.writeString(file, script);
        List<String> args = new ArrayList<>(List.of("sql", file.toString()));
        args.addAll(List.of(more));
        return Uplift.run(args.toArray(String[]::new), new PrintWriter(errors, true));
    }

    private List<JsonNode> rows(String script) throws IOException {
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        try {
            assertThat(sql(script, "--json", "--rows", "20"))
                    .as(errors.toString())
                    .isZero();
        } finally {
            System.setOut(console);
        }
        List<JsonNode> rows = new ArrayList<>();
        for (String line : printed.toString(StandardCharsets.UTF_8).lines().toList()) {
            rows.add(new JsonMapper().readTree(line));
        }
        return rows;
    }
}
