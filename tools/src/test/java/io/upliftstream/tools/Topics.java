package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;

/** The job's topics on an embedded broker, under names of one test. */
public final class Topics {
    public static final Path BUNDLE = Path.of("..", "model", "bundles", "street");

    private final EmbeddedKafka kafka;
    private final String test;

    private Topics(EmbeddedKafka kafka, String test) {
        this.kafka = kafka;
        this.test = test;
    }

    /** Creates the topics; {@code segmentation} takes records up to so many bytes. */
    public static Topics create(EmbeddedKafka kafka, String test, int partitions, int maxSegmentationBytes)
            throws IOException {
        return create(kafka, test, partitions, maxSegmentationBytes, EmbeddedKafka.MAX_RECORD_BYTES);
    }

    /** Creates the topics; {@code segmentation} and {@code failures} take records up to so many bytes. */
    public static Topics create(
            EmbeddedKafka kafka, String test, int partitions, int maxSegmentationBytes, int maxFailureBytes)
            throws IOException {
        Topics topics = new Topics(kafka, test);
        kafka.createTopic(topics.name("camera-frames"), partitions, Map.of());
        kafka.createTopic(
                topics.name("segmentation"),
                partitions,
                Map.of("max.message.bytes", Integer.toString(maxSegmentationBytes)));
        kafka.createTopic(
                topics.name("failures"), partitions, Map.of("max.message.bytes", Integer.toString(maxFailureBytes)));
        for (String output : List.of("features", "depth", "dropped")) {
            kafka.createTopic(topics.name(output), partitions, Map.of());
        }
        return topics;
    }

    /** A job between these topics that ends after the frames that are there when it starts. */
    public JobSettings settings(String... more) {
        return JobSettings.load(null, Map.of(), assignments(more));
    }

    /** The same as {@code key=value}; the later ones win. */
    public List<String> assignments(String... more) {
        List<String> assignments = new ArrayList<>(List.of(
                "uplift.kafka.bootstrap-servers=" + kafka.bootstrapServers(),
                "uplift.model.bundle=" + BUNDLE.toAbsolutePath().normalize(),
                "uplift.model.precision=fp32",
                "uplift.input.topic=" + name("camera-frames"),
                "uplift.input.group-id=" + test,
                "uplift.input.stop=latest",
                "uplift.transactional-id-prefix=" + test,
                "uplift.checkpoint.interval=200 ms",
                "uplift.output.segmentation.topic=" + name("segmentation"),
                "uplift.output.features.topic=" + name("features"),
                "uplift.output.regression.topic=" + name("depth"),
                "uplift.output.failures.topic=" + name("failures"),
                "uplift.output.dropped.topic=" + name("dropped")));
        assignments.addAll(List.of(more));
        return assignments;
    }

    public String name(String topic) {
        return test + "-" + topic;
    }

    public static CameraFrame.Builder frame(String cameraId, long sequence, byte[] image) {
        return CameraFrame.newBuilder()
                .setCameraId(cameraId)
                .setSequence(sequence)
                .setCaptureTimeMicros(1_000_000 + sequence)
                .setCaptureClock(CaptureClock.CAMERA)
                .setImage(ByteBuffer.wrap(image))
                .setImageFormat("jpeg");
    }

    /** Sends a value and returns where it is. */
    public RecordMetadata send(int partition, @Nullable String key, byte @Nullable [] value)
            throws InterruptedException {
        return send(partition, key, value, List.of());
    }

    /** Sends a value with headers and returns where it is. */
    public RecordMetadata send(int partition, @Nullable String key, byte @Nullable [] value, List<Header> headers)
            throws InterruptedException {
        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers(), "max.request.size", 16 << 20),
                new StringSerializer(),
                new ByteArraySerializer())) {
            return producer.send(new ProducerRecord<>(name("camera-frames"), partition, key, value, headers))
                    .get();
        } catch (ExecutionException e) {
            throw new AssertionError(e);
        }
    }

    /** Runs a job to its end, and fails if it was started again on the way. */
    public static void runWithoutRestart(JobSettings settings) throws IOException, InterruptedException {
        try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            EmbeddedFlink.Job job = flink.submit(env);
            job.awaitEnd();
            assertThat(job.restarts()).isZero();
        }
    }

    /** Every record of a topic that is visible now, partition by partition in order. */
    public <T extends SpecificRecord> List<T> read(String topic, String isolation, Class<T> type) {
        List<T> records = new ArrayList<>();
        try (KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers(), "isolation.level", isolation),
                new StringDeserializer(),
                new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(name(topic)).stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition()))
                    .toList();
            for (Map.Entry<TopicPartition, Long> end :
                    consumer.endOffsets(partitions).entrySet()) {
                TopicPartition partition = end.getKey();
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                // The position also passes the markers of transactions, which are no records.
                while (consumer.position(partition) < end.getValue()) {
                    for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                        records.add(SingleObject.decode(record.value(), type));
                    }
                }
            }
        }
        return records;
    }
}
