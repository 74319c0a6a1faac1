package io.upliftstream.job;

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;

/** Packets from the input topic, beside Flink's source and in no consumer group. */
final class KafkaPackets implements PacketReader {
    private static final Duration POLL = Duration.ofMillis(200);

    /** Bytes of one fetch: packets are small, and a group of pictures is read in order. */
    private static final String FETCH_BYTES = String.valueOf(4 << 20);

    private final Properties properties;
    private @Nullable KafkaConsumer<byte[], byte[]> consumer;

    KafkaPackets(JobSettings settings) {
        properties = settings.kafkaProperties();
        properties.putIfAbsent(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, FETCH_BYTES);
        properties.putIfAbsent(ConsumerConfig.FETCH_MAX_BYTES_CONFIG, FETCH_BYTES);
        properties.putIfAbsent(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.setProperty(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"); // what retention has left
        properties.setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
    }

    @Override
    public void read(Range range, Predicate<RawFrame> packets) {
        if (consumer == null) {
            consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        }
        TopicPartition source = new TopicPartition(range.topic(), range.partition());
        consumer.assign(List.of(source));
        consumer.seek(source, range.from());
        long end = consumer.endOffsets(List.of(source)).getOrDefault(source, 0L); // less, of a topic that was made anew
        while (consumer.position(source) < Math.min(range.to() + 1, end)) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                if (record.offset() < range.from()
                        || record.offset() > range.to()
                        || !packets.test(RawFrame.of(record))) {
                    return;
                }
            }
        }
    }

    @Override
    public void close() {
        if (consumer != null) {
            consumer.close();
        }
    }
}
