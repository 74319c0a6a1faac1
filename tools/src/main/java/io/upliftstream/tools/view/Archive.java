package io.upliftstream.tools.view;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.stream.ClaimedPayloads;
import io.upliftstream.tools.stream.FrameImages;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordKind;
import io.upliftstream.tools.stream.RecordReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * Finds frames, and what was said about them, by their place in the input topic. One image and one search at a time: a
 * search takes seconds where a topic has no such record, and the images of who watches live do not wait for it.
 */
final class Archive implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(3);
    private static final Duration SLACK = Duration.ofSeconds(1);
    /** Of the records about a frame on one topic; one more may be beyond it. */
    private static final long MAX_BYTES = Runtime.getRuntime().maxMemory() / 16;

    private static final Duration POLL = Duration.ofMillis(100);

    private final OutputTopics outputs;
    private final ClaimedPayloads payloads;
    private final FrameImages frames;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final ReentrantLock reading = new ReentrantLock();
    private final ReentrantLock searching = new ReentrantLock();

    Archive(JobSettings settings) {
        outputs = new OutputTopics(settings);
        payloads = new ClaimedPayloads(settings, Feed.PAYLOAD_PATIENCE);
        frames = FrameImages.single(settings);
        consumer = RecordReader.consumer(
                settings,
                Map.of(
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted",
                        ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG,
                        (int) PATIENCE.toMillis()));
    }

    /** The image of a frame as it was sent, JPEG or PNG; empty if the topic no longer has it. */
    Optional<byte[]> image(SourcePosition position) {
        return alone(reading, () -> frames.image(position));
    }

    /** The records about the frame at a place of the input topic; empty if there are none. */
    Optional<Moment> moment(int partition, long offset) {
        return alone(reading, () -> frames.find(partition, offset))
                .flatMap(frame -> alone(searching, () -> search(frame)));
    }

    private Optional<Moment> search(ConsumerRecord<byte[], byte[]> frame) {
        List<SpecificRecord> found = new ArrayList<>();
        long bytes = 0;
        for (String topic : outputs.dense()) {
            bytes += search(topic, frame, found);
        }
        return found.isEmpty()
                ? Optional.empty()
                : Optional.of(new Moment(0, RecordKind.header(found.get(0)), found, bytes));
    }

    private static <T> T alone(ReentrantLock turn, Supplier<T> question) {
        try {
            if (!turn.tryLock(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new Refusal(503, "others search the topics (expected: to be asked again later)");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Refusal(503, "the viewer ends");
        }
        try {
            return question.get();
        } catch (MalformedRecordException e) { // of a payload that is elsewhere
            throw new Refusal(503, String.valueOf(e.getMessage()));
        } catch (KafkaException e) {
            throw new Refusal(503, "Kafka does not answer (expected: to be asked again later)");
        } finally {
            turn.unlock();
        }
    }

    /** Reads an output topic from the time of the frame on; returns the bytes of what it adds. */
    private long search(String topic, ConsumerRecord<byte[], byte[]> frame, List<SpecificRecord> found) {
        Map<TopicPartition, Long> times = new HashMap<>();
        // The time of a record is of its writer's clock, and the frame's may have been ahead of the job's.
        long from = Math.max(0, frame.timestamp() - SLACK.toMillis());
        consumer.partitionsFor(topic).forEach(info -> times.put(new TopicPartition(topic, info.partition()), from));
        if (times.isEmpty()) { // the job writes no such records
            return 0;
        }
        consumer.assign(times.keySet());
        Map<TopicPartition, OffsetAndTimestamp> starts = consumer.offsetsForTimes(times);
        starts.forEach((place, start) -> {
            if (start == null) {
                consumer.seekToEnd(List.of(place));
            } else {
                consumer.seek(place, start.offset());
            }
        });
        int before = found.size();
        Set<String> heads = new HashSet<>();
        boolean more = true;
        long bytes = 0;
        MalformedRecordException missing = null;
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (more && System.nanoTime() < end) { // those of one frame follow each other
            int had = heads.size();
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                SpecificRecord result = read(record);
                if (result != null && heads.size() < Feed.MAX_HEADS && bytes < MAX_BYTES) {
                    SourcePosition source = RecordKind.header(result).getSource();
                    if (source.getPartition() == frame.partition()
                            && source.getOffset() == frame.offset()
                            && heads.add(RecordKind.head(result))) {
                        try {
                            bytes += record.serializedValueSize() + payloads.fetch(result);
                            found.add(result);
                        } catch (MalformedRecordException e) {
                            missing = e; // the frame's other records may be whole
                        }
                    }
                }
            }
            more = heads.isEmpty() || heads.size() > had;
        }
        if (missing != null && found.size() == before) {
            throw missing;
        }
        return bytes;
    }

    /** What can be drawn; null for what cannot be read, which the feed counted when it came. */
    private @Nullable SpecificRecord read(ConsumerRecord<byte[], byte[]> record) {
        try {
            SpecificRecord result = outputs.decode(record);
            Moment.check(result);
            return result;
        } catch (RuntimeException e) {
            return null;
        }
    }

    @Override
    public void close() {
        searching.lock();
        reading.lock();
        try {
            consumer.close();
            frames.close();
        } finally {
            reading.unlock();
            searching.unlock();
        }
    }
}
