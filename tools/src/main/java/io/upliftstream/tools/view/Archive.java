package io.upliftstream.tools.view;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.HeadKind;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.stream.CameraFrames;
import io.upliftstream.tools.stream.RecordReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;

/** Finds frames, and what was said about them, by their place in the input topic. One question at a time. */
final class Archive implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(3);
    private static final Duration POLL = Duration.ofMillis(100);

    private final JobSettings settings;
    private final KafkaConsumer<byte[], byte[]> consumer;

    Archive(JobSettings settings) {
        this.settings = settings;
        consumer = RecordReader.consumer(
                settings,
                Map.of(
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted",
                        // The broker sends one batch at least, and more would be thrown away.
                        ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG,
                        1));
    }

    /** The image of a frame as it was sent, JPEG or PNG; empty if the topic no longer has it. */
    synchronized Optional<byte[]> image(SourcePosition position) {
        return frame(position.getTopic(), position.getPartition(), position.getOffset())
                .map(found -> CameraFrames.image(CameraFrames.of(found)));
    }

    private Optional<ConsumerRecord<byte[], byte[]>> frame(String topic, int partition, long offset) {
        TopicPartition place = new TopicPartition(topic, partition);
        consumer.assign(List.of(place));
        consumer.seek(place, offset);
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (System.nanoTime() < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                if (record.offset() >= offset) {
                    return record.offset() == offset ? Optional.of(record) : Optional.empty();
                }
            }
        }
        return Optional.empty();
    }

    /** The records about the frame at a place of the input topic; empty if there are none. */
    synchronized List<SpecificRecord> records(int partition, long offset) {
        Optional<ConsumerRecord<byte[], byte[]>> frame =
                frame(settings.get(InputOptions.INPUT_TOPIC), partition, offset);
        if (frame.isEmpty()) {
            return List.of();
        }
        List<SpecificRecord> found = new ArrayList<>();
        for (HeadKind kind : HeadKind.values()) {
            settings.topic(kind).ifPresent(topic -> found.addAll(search(topic, kind, frame.get())));
        }
        return found;
    }

    /** Reads an output topic from the time of the frame on. */
    private List<SpecificRecord> search(String topic, HeadKind kind, ConsumerRecord<byte[], byte[]> frame) {
        Map<TopicPartition, Long> times = new HashMap<>();
        consumer.partitionsFor(topic)
                .forEach(info -> times.put(new TopicPartition(topic, info.partition()), frame.timestamp()));
        consumer.assign(times.keySet());
        Map<TopicPartition, OffsetAndTimestamp> starts = consumer.offsetsForTimes(times);
        starts.forEach((place, start) -> {
            if (start == null) {
                consumer.seekToEnd(List.of(place));
            } else {
                consumer.seek(place, start.offset());
            }
        });
        List<SpecificRecord> found = new ArrayList<>();
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (found.isEmpty() && System.nanoTime() < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                SpecificRecord result = kind == HeadKind.SEGMENTATION
                        ? SingleObject.decode(record.value(), SegmentationRecord.class)
                        : SingleObject.decode(record.value(), FeatureRecord.class);
                RecordHeader header = Feed.header(result);
                if (header.getSource().getPartition() == frame.partition()
                        && header.getSource().getOffset() == frame.offset()) {
                    found.add(result);
                }
            }
        }
        return found;
    }

    @Override
    public synchronized void close() {
        consumer.close();
    }
}
