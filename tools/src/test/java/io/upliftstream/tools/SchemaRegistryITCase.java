package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.StartupException;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SchemaRegistry;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.cli.Commands;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.RecordReader;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The job between topics in Confluent's wire format, with a real registry, and programs that know nothing of ours. */
@Tag("servers")
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class SchemaRegistryITCase {
    private static final Path SQL_JARS = Path.of("target", "servers", "sql");
    private static final int FRAMES = 1000;

    private static EmbeddedKafka kafka;
    private static SchemaRegistryServer registry;
    private static Topics topics;

    /** A thousand frames of a schema that we have not published, and what the job makes of them. */
    @BeforeAll
    static void run(@TempDir Path directory) throws Exception {
        registry = new SchemaRegistryServer(directory.resolve("registry.log"));
        kafka = EmbeddedKafka.start();
        topics = Topics.create(kafka, "registry", 1, EmbeddedKafka.MAX_RECORD_BYTES);
        publish(evolved());
        Topics.runWithoutRestart(settings());
    }

    @AfterAll
    static void stop() throws Exception {
        kafka.close();
        registry.close();
    }

    private static JobSettings settings(String... more) {
        List<String> all = new ArrayList<>(
                List.of("uplift.schema-registry.url=" + registry.url(), "uplift.model.bundle=" + TinyBundle.PATH));
        all.addAll(List.of(more));
        return topics.settings(all.toArray(String[]::new));
    }

    /** CameraFrame with a field of its own, in front of the others. */
    private static Schema evolved() {
        String published = SingleObject.schema(CameraFrame.class).toString();
        String fields = "\"fields\":[";
        int at = published.indexOf(fields) + fields.length();
        return new Schema.Parser()
                .parse(published.substring(0, at)
                        + "{\"name\": \"exposureMillis\", \"type\": \"double\", \"default\": 0}, "
                        + published.substring(at));
    }

    private static void publish(Schema schema) throws Exception {
        int id = registry.register(topics.name("camera-frames") + "-value", schema);
        byte[] image = Images.png(new BufferedImage(64, 40, BufferedImage.TYPE_3BYTE_BGR));
        GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(schema);
        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new StringSerializer(),
                new ByteArraySerializer())) {
            for (long sequence = 0; sequence < FRAMES; sequence++) {
                GenericRecord frame = new GenericData.Record(schema);
                frame.put("exposureMillis", 4.0);
                frame.put("cameraId", "gate");
                frame.put("sequence", sequence);
                frame.put("captureTimeMicros", 1_000_000 + sequence);
                frame.put(
                        "captureClock",
                        new GenericData.EnumSymbol(
                                schema.getField("captureClock").schema(), "CAMERA"));
                frame.put("image", ByteBuffer.wrap(image));
                ByteArrayOutputStream value = new ByteArrayOutputStream();
                value.write(0);
                value.write(ByteBuffer.allocate(4).putInt(id).array());
                BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(value, null);
                writer.write(frame, encoder);
                encoder.flush();
                var unused =
                        producer.send(new ProducerRecord<>(topics.name("camera-frames"), "gate", value.toByteArray()));
            }
        }
    }

    private static List<byte[]> values(String topic) {
        List<byte[]> values = new ArrayList<>();
        try (RecordReader reader = new RecordReader(settings(), topics.name(topic), false, false)) {
            for (ConsumerRecords<byte[], byte[]> some = reader.next(); some != null; some = reader.next()) {
                for (ConsumerRecord<byte[], byte[]> record : some) {
                    values.add(record.value());
                }
            }
        }
        return values;
    }

    @Test
    void everyFrameHasAResultThatAProgramWithoutOursReads() throws Exception {
        assertThat(values("failures")).isEmpty();
        assertThat(registry.subjects())
                .contains(
                        topics.name("segmentation") + "-value",
                        topics.name("failures") + "-value",
                        topics.name("dropped") + "-value");
        List<byte[]> values = values("segmentation");
        RecordDecoder ours = new RecordDecoder();
        Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
        List<Long> sequences = new ArrayList<>();
        for (byte[] value : values) {
            ByteBuffer bytes = ByteBuffer.wrap(value);
            assertThat(bytes.get()).isZero();
            int id = bytes.getInt();
            if (!readers.containsKey(id)) {
                readers.put(id, new GenericDatumReader<>(registry.schema(id)));
            }
            BinaryDecoder decoder =
                    DecoderFactory.get().binaryDecoder(value, bytes.position(), bytes.remaining(), null);
            GenericRecord record = readers.get(id).read(null, decoder);
            assertThat(decoder.isEnd()).isTrue();
            sequences.add((Long) ((GenericRecord) record.get("header")).get("sequence"));

            SegmentationRecord same = ours.decode(value, SegmentationRecord.class);
            assertThat(((GenericRecord) record.get("mask")).get("data"))
                    .isEqualTo(same.getMask().getData());
            assertThat(MaskCodec.decode(same.getMask()))
                    .hasSize(same.getMask().getWidth() * same.getMask().getHeight());
        }
        assertThat(readers).hasSize(1);
        assertThat(sequences)
                .containsExactlyElementsOf(LongStream.range(0, FRAMES).boxed().toList());
    }

    @Test
    void aSubjectThatIsOfSomethingElseEndsTheStartWithASentence() throws Exception {
        Topics others = Topics.create(kafka, "others", 1, EmbeddedKafka.MAX_RECORD_BYTES);
        registry.register(others.name("segmentation") + "-value", SingleObject.schema(FrameFailure.class));
        registry.requireBackwardCompatibility();

        assertThatThrownBy(() -> DenseVisionJob.definePipeline(
                        StreamExecutionEnvironment.getExecutionEnvironment(new Configuration()),
                        others.settings(
                                "uplift.schema-registry.url=" + registry.url(),
                                "uplift.model.bundle=" + TinyBundle.PATH)))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("schema SegmentationRecord of subject others-segmentation-value: 409 from ")
                .hasMessageEndingWith("(expected: one that the subject's compatibility allows)")
                .message()
                .hasLineCount(1);
    }

    @Test
    void aSchemaThatNobodyRegisteredEndsTheStartWithASentence() throws Exception {
        Topics strange = Topics.create(kafka, "strange", 1, EmbeddedKafka.MAX_RECORD_BYTES);

        assertThatThrownBy(() -> DenseVisionJob.definePipeline(
                        StreamExecutionEnvironment.getExecutionEnvironment(new Configuration()),
                        strange.settings(
                                "uplift.schema-registry.url=" + registry.url(),
                                "uplift.schema-registry.register=false",
                                "uplift.model.bundle=" + TinyBundle.PATH)))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("404 from ")
                .hasMessageEndingWith("; uplift.schema-registry.register=true registers it");
    }

    @Test
    void onlyTheRegistryItselfSaysThatItDoesNotKnowAnId() {
        assertThat(whyNot(registry.url())).isEqualTo(RegistryException.Reason.UNKNOWN);
        assertThat(whyNot(registry.url() + "/elsewhere")).isEqualTo(RegistryException.Reason.AWAY);
    }

    private static RegistryException.Reason whyNot(String url) {
        SchemaRegistry client = new SchemaRegistry(URI.create(url), Duration.ofSeconds(30), null, null);
        return catchThrowableOfType(RegistryException.class, () -> client.schema(999_999))
                .reason();
    }

    /** {@code uplift sql}: frames whose schema the registry alone knows, asked of a model, and the job's records. */
    @Test
    void ourFunctionsAndModelsOfSqlReadBothTopics(@TempDir Path directory) throws Exception {
        String connector =
                """
                'connector' = 'kafka', 'properties.bootstrap.servers' = '%s', 'format' = 'raw',
                'properties.isolation.level' = 'read_committed', 'scan.startup.mode' = 'earliest-offset',
                'scan.bounded.mode' = 'latest-offset'"""
                        .formatted(kafka.bootstrapServers());
        Path script = Files.writeString(
                directory.resolve("registry.sql"),
                """
                LOAD MODULE uplift WITH ('schema-registry.url' = '%1$s');
                CREATE TABLE frames (v BYTES) WITH ('topic' = '%2$s', %4$s);
                CREATE TABLE segmentation (v BYTES) WITH ('topic' = '%3$s', %4$s);
                CREATE MODEL tiny INPUT (image BYTES) OUTPUT (classes BYTES, failure STRING)
                  WITH ('provider' = 'uplift', 'bundle' = '%5$s', 'schema-registry.url' = '%1$s');
                SELECT 'frame' AS what, RECORD_HEADER(v).`sequence` AS n, RECORD_PROBLEM(v) AS problem FROM frames;
                SELECT 'record' AS what, RECORD_HEADER(v).`sequence` AS n, RECORD_PROBLEM(v) AS problem FROM segmentation
                  WHERE CLASS_AT(v, 32, 20) IS NOT NULL;
                SELECT 'predicted' AS what, RECORD_HEADER(classes).`sequence` AS n, failure AS problem
                  FROM ML_PREDICT(TABLE frames, MODEL tiny, DESCRIPTOR(v));
                """
                        .formatted(
                                registry.url(),
                                topics.name("camera-frames"),
                                topics.name("segmentation"),
                                connector,
                                TinyBundle.PATH));
        Commands sql = Commands.run(List.of("sql", script.toString(), "--json", "--rows", "5000"));
        assertThat(sql.exitCode()).as(sql.output()).isZero();
        for (String what : List.of("frame", "record", "predicted")) {
            assertThat(sql.output().lines().filter(line -> line.contains("\"what\":\"" + what + "\"")))
                    .as(what)
                    .containsExactlyElementsOf(LongStream.range(0, FRAMES)
                            .mapToObj(n -> "{\"what\":\"%s\",\"n\":%d,\"problem\":null}".formatted(what, n))
                            .toList());
        }
    }

    /** Flink SQL with its own format, in a process that has none of our classes. */
    @Test
    void flinkSqlReadsTheSegmentation(@TempDir Path directory) throws Exception {
        Path output = directory.resolve("sql.log");
        Process process = new ProcessBuilder(List.of(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx512m",
                        "-cp",
                        sqlClassPath(),
                        Path.of("src", "test", "sql", "SegmentationSql.java").toString(),
                        kafka.bootstrapServers(),
                        topics.name("segmentation"),
                        registry.url()))
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertThat(process.waitFor(5, TimeUnit.MINUTES)).isTrue();
        } finally {
            process.destroyForcibly();
        }
        assertThat(Files.readString(output)).contains("gate 1000 0 999");
    }

    /** Flink SQL's jars, then Flink's own and what it needs. */
    private static String sqlClassPath() throws IOException {
        Pattern ours = Pattern.compile(".*(uplift|flink-connector-kafka|/classes|/test-classes).*");
        try (Stream<Path> jars = Files.list(SQL_JARS)) {
            return Stream.concat(
                            jars.map(jar -> jar.toAbsolutePath().toString()),
                            Pattern.compile(Pattern.quote(System.getProperty("path.separator")))
                                    .splitAsStream(System.getProperty("java.class.path"))
                                    .filter(entry -> !ours.matcher(entry).matches()))
                    .collect(Collectors.joining(System.getProperty("path.separator")));
        }
    }
}
