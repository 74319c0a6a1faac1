package io.upliftstream.tools.view;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.stream.FrameImages;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordKind;
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
    private final OutputTopics outputs;
    private final FrameImages frames;
    private final KafkaConsumer<byte[], byte[]> consumer;

    Archive(JobSettings settings) {
        this.settings = settings;
        outputs = new OutputTopics(settings);
        frames = FrameImages.single(settings);
        consumer = RecordReader.consumer(settings, Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted"));
    }

    /** The image of a frame as it was sent, JPEG or PNG; empty if the topic no longer has it. */
    synchronized Optional<byte[]> image(SourcePosition position) {
        return frames.image(position);
    }

    /** The records about the frame at a place of the input topic; empty if there are none. */
    synchronized List<SpecificRecord> records(int partition, long offset) {
        Optional<ConsumerRecord<byte[], byte[]>> frame =
                frames.find(settings.get(InputOptions.INPUT_TOPIC), partition, offset);
        List<SpecificRecord> found = new ArrayList<>();
        frame.ifPresent(record -> outputs.dense().forEach(topic -> found.addAll(search(topic, record))));
        return found;
    }

    /** Reads an output topic from the time of the frame on. */
    private List<SpecificRecord> search(String topic, ConsumerRecord<byte[], byte[]> frame) {
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
                SpecificRecord result = outputs.decode(record);
                SourcePosition source = RecordKind.header(result).getSource();
                if (source.getPartition() == frame.partition() && source.getOffset() == frame.offset()) {
                    found.add(result);
                }
            }
        }
        return found;
    }

    @Override
    public synchronized void close() {
        consumer.close();
        frames.close();
    }
}
