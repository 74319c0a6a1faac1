package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.VideoClip;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.RecordReader;
import io.upliftstream.tools.traffic.FrameTopics;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Videos with B-frames, in groups of 1 to 250 pictures, while processes of the cluster are killed ({@code -Duplift.video.kills=N},
 * in turns a TaskManager, the JobManager and the broker) and the job is stopped and goes on with other parallelism.
 */
@Timeout(value = 60, unit = TimeUnit.MINUTES)
class VideoKillsITCase {
    private static final long MILLIS_BETWEEN_PACKETS = 40;

    private final Map<String, VideoClip> cameras = new TreeMap<>();
    private final Map<String, Long> sent = new HashMap<>();
    private final Map<String, List<RecordHeader>> results = new HashMap<>();
    private final List<SpecificRecord> others = new ArrayList<>();

    @Test
    void everyPictureComesOutOnceAndInOrder() throws Exception {
        cameras.put("hall", VideoClip.of("group-250.h264"));
        cameras.put("lane", VideoClip.of("open.h265"));
        cameras.put("yard", VideoClip.of("intra.h264"));
        FrameTopics topics = new FrameTopics("videos-", 2);
        try (ProcessCluster cluster = ProcessCluster.start(
                Path.of(".."), new ClusterShape(1, 1, 2), Set.of(), Path.of("target", "video-cluster-log"))) {
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", cluster.bootstrapServers()))) {
                topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            }
            try (KafkaProducer<String, byte[]> producer = producer(cluster);
                    KafkaConsumer<byte[], byte[]> consumer = consumer(cluster, topics)) {
                String job = cluster.flink().run(arguments(cluster, topics, 2), null);
                publishUntilResults(producer, consumer, topics);
                for (int kill = 0; kill < Integer.getInteger("uplift.video.kills", 3); kill++) {
                    JvmProcess victim =
                            switch (kill % 3) {
                                case 0 -> cluster.taskManagers().get(kill / 3 % 2);
                                case 1 -> cluster.jobManager();
                                default -> cluster.process("broker");
                            };
                    publish(producer, topics, 40);
                    victim.kill();
                    victim.start();
                    publishUntilResults(producer, consumer, topics);
                }
                cluster.awaitTaskManagers();
                for (int parallelism : new int[] {1, 2, 1}) {
                    publish(producer, topics, 20);
                    String savepoint = cluster.flink()
                            .stopWithSavepoint(
                                    job,
                                    cluster.directory().resolve("savepoints").toUri());
                    job = cluster.flink().run(arguments(cluster, topics, parallelism), savepoint);
                    publishUntilResults(producer, consumer, topics);
                }
                // The last job ends with its input, and lets out what the decoders hold back.
                String savepoint = cluster.flink()
                        .stopWithSavepoint(
                                job, cluster.directory().resolve("savepoints").toUri());
                List<String> ending = arguments(cluster, topics, 2);
                ending.add("uplift.input.stop=latest");
                cluster.flink().awaitState(cluster.flink().run(ending, savepoint), "FINISHED");
                while (results.values().stream().mapToLong(List::size).sum()
                                < sent.values().stream()
                                        .mapToLong(Long::longValue)
                                        .sum()
                        && others.isEmpty()) {
                    read(consumer);
                }
                read(consumer);
            }
        }
        System.out.printf("packets of cameras: %s, other outcomes: %d%n", sent, others.size());
        assertThat(others).isEmpty();
        for (String camera : cameras.keySet()) {
            List<RecordHeader> its = results.getOrDefault(camera, List.of());
            assertThat(its.stream().map(RecordHeader::getSequence))
                    .as(camera)
                    .containsExactlyInAnyOrderElementsOf(LongStream.range(0, sent.getOrDefault(camera, 0L))
                            .boxed()
                            .toList());
            assertThat(its.stream().map(RecordHeader::getCaptureTimeMicros).toList())
                    .as(camera)
                    .isSorted();
        }
    }

    private static List<String> arguments(ProcessCluster cluster, FrameTopics topics, int parallelism) {
        List<String> arguments = new ArrayList<>(List.of(
                "uplift.kafka.bootstrap-servers=" + cluster.bootstrapServers(),
                "uplift.model.bundle=" + TinyBundle.PATH,
                "uplift.parallelism=" + parallelism,
                "uplift.checkpoint.interval=500 ms"));
        arguments.addAll(topics.assignments());
        return arguments;
    }

    private static KafkaProducer<String, byte[]> producer(ProcessCluster cluster) {
        return new KafkaProducer<>(
                Map.of(
                        ProducerConfig.BOOTSTRAP_SERVERS_CONFIG,
                        cluster.bootstrapServers(),
                        ProducerConfig.MAX_BLOCK_MS_CONFIG,
                        600_000,
                        ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG,
                        600_000),
                new StringSerializer(),
                new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(ProcessCluster cluster, FrameTopics topics) {
        KafkaConsumer<byte[], byte[]> consumer = RecordReader.consumer(
                JobSettings.load(null, Map.of(), arguments(cluster, topics, 1)),
                Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed"));
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : topics.outputs()) {
            for (int partition = 0; partition < topics.partitions(); partition++) {
                partitions.add(new TopicPartition(topic, partition));
            }
        }
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        return consumer;
    }

    private void publish(KafkaProducer<String, byte[]> producer, FrameTopics topics, int packets) throws Exception {
        for (int i = 0; i < packets; i++) {
            int partition = 0;
            for (Map.Entry<String, VideoClip> camera : cameras.entrySet()) {
                long sequence = sent.merge(camera.getKey(), 1L, Long::sum) - 1;
                var unused = producer.send(new ProducerRecord<>(
                        topics.input(),
                        partition++ % topics.partitions(),
                        camera.getKey(),
                        SingleObject.encode(camera.getValue().packet(camera.getKey(), sequence))));
            }
            Thread.sleep(MILLIS_BETWEEN_PACKETS); // as cameras do
        }
    }

    /** Until a result of every camera came that was sent from now on. */
    private void publishUntilResults(
            KafkaProducer<String, byte[]> producer, KafkaConsumer<byte[], byte[]> consumer, FrameTopics topics)
            throws Exception {
        Map<String, Long> before = Map.copyOf(sent);
        do {
            publish(producer, topics, 5);
            read(consumer);
        } while (!cameras.keySet().stream().allMatch(camera -> results.getOrDefault(camera, List.of()).stream()
                .anyMatch(header -> header.getSequence() >= before.getOrDefault(camera, 0L))));
    }

    private void read(KafkaConsumer<byte[], byte[]> consumer) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
            SpecificRecord read = SingleObject.decode(record.value());
            if (read instanceof SegmentationRecord segmentation) {
                RecordHeader header = segmentation.getHeader();
                results.computeIfAbsent(header.getCameraId(), unused -> new ArrayList<>())
                        .add(header);
            } else if (read instanceof FrameFailure || read instanceof FrameDropped) {
                others.add(read);
            }
        }
    }
}
