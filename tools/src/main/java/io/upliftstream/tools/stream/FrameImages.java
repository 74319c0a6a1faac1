package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.SourcePosition;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/** Finds the images of frames by their place in the input topic; quickly, if they are asked for in order. */
public final class FrameImages implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final Duration POLL = Duration.ofMillis(200);

    private final KafkaConsumer<byte[], byte[]> consumer;
    /** What came along with the last frame that was asked for, by partition and offset. */
    private final Map<TopicPartition, Map<Long, ConsumerRecord<byte[], byte[]>>> fetched = new HashMap<>();

    public FrameImages(JobSettings settings) {
        consumer = RecordReader.consumer(settings, Map.of());
    }

    /** The image of a frame as it was sent, JPEG or PNG; empty if the topic no longer has it. */
    public Optional<byte[]> image(SourcePosition source) {
        TopicPartition partition = new TopicPartition(source.getTopic(), source.getPartition());
        Map<Long, ConsumerRecord<byte[], byte[]>> values = fetched.computeIfAbsent(partition, none -> new HashMap<>());
        ConsumerRecord<byte[], byte[]> record = values.get(source.getOffset());
        if (record == null) {
            record = fetch(partition, source.getOffset(), values);
        }
        return Optional.ofNullable(record).map(found -> CameraFrames.image(CameraFrames.of(found)));
    }

    private @Nullable ConsumerRecord<byte[], byte[]> fetch(
            TopicPartition partition, long offset, Map<Long, ConsumerRecord<byte[], byte[]>> values) {
        values.clear();
        consumer.assign(List.of(partition));
        consumer.seek(partition, offset);
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (values.isEmpty() && System.nanoTime() < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                values.put(record.offset(), record);
            }
        }
        return values.get(offset);
    }

    @Override
    public void close() {
        consumer.close();
    }
}
