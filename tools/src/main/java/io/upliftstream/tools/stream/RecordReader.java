package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;

/** Reads what is on a topic, or comes to it, under read_committed and without a consumer group. */
public final class RecordReader implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(200);

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Map<TopicPartition, Long> ends;
    private final boolean follow;

    /**
     * Looks where the topic begins and ends now.
     *
     * @param fromEnd whether to leave out what is there already
     * @param follow whether to go on after what is there now
     */
    public RecordReader(JobSettings settings, String topic, boolean fromEnd, boolean follow) {
        this.follow = follow;
        consumer = consumer(settings, Map.of());
        List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition()))
                .toList();
        consumer.assign(partitions);
        if (fromEnd) {
            consumer.seekToEnd(partitions);
            partitions.forEach(consumer::position); // now, not at the first poll
        } else {
            consumer.seekToBeginning(partitions);
        }
        ends = consumer.endOffsets(partitions);
    }

    /**
     * A consumer of the job's Kafka without a group, at the beginning of what it is given, under read_committed.
     *
     * @param more settings, which win
     */
    public static KafkaConsumer<byte[], byte[]> consumer(JobSettings settings, Map<String, Object> more) {
        Properties properties = settings.kafkaProperties();
        properties.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        properties.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        properties.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, false); // who reads makes no topic
        properties.putIfAbsent(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 8 << 20); // several large tensors
        properties.putAll(more);
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** The next records, perhaps none yet; null at the end. */
    public @Nullable ConsumerRecords<byte[], byte[]> next() {
        // The position also passes the markers of transactions, which are no records.
        boolean atEnd = ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
        return atEnd && !follow ? null : consumer.poll(POLL);
    }

    @Override
    public void close() {
        consumer.close();
    }
}
