package io.upliftstream.tools.view;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.model.HeadKind;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.stream.RecordReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the job's topics from their ends on, puts the records of a frame together and shows them on the {@link Board}.
 * Goes on when a broker goes away and comes back.
 */
final class Feed implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Feed.class);
    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration TOPICS_EVERY = Duration.ofSeconds(5);
    /** A frame of which not all records came is shown after this time. */
    private static final Duration PATIENCE = Duration.ofSeconds(1);

    /** Cameras whose last frame is remembered. */
    private static final int MAX_SHOWN = 1000;

    private final Map<String, HeadKind> resultTopics = new HashMap<>();
    private final String failuresTopic;
    private final String droppedTopic;
    private final Board board;
    private final Statistics statistics;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread = new Thread(this::run, "feed");
    private final AtomicBoolean closed = new AtomicBoolean();

    /** Frames of which records are missing, oldest first. */
    private final Map<SourcePosition, Gathering> gathering = new LinkedHashMap<>();

    private final Map<String, SourcePosition> shown = new HashMap<>();
    private int expected;
    private volatile boolean connected;

    private static final class Gathering {
        final long since = System.nanoTime();
        final RecordHeader header;
        final List<SpecificRecord> records = new ArrayList<>();

        Gathering(RecordHeader header) {
            this.header = header;
        }
    }

    Feed(JobSettings settings, Board board, Statistics statistics) {
        this.board = board;
        this.statistics = statistics;
        for (HeadKind kind : HeadKind.values()) {
            settings.topic(kind).ifPresent(topic -> resultTopics.put(topic, kind));
        }
        failuresTopic = settings.get(OutputOptions.FAILURES_TOPIC);
        droppedTopic = settings.get(OutputOptions.DROPPED_TOPIC);
        expected = resultTopics.size();
        // A page shows what the job says now; that a checkpoint may take it back does not matter here.
        consumer = RecordReader.consumer(
                settings,
                Map.of(
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
                        "latest",
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted"));
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    /** Whether the topics are there and the broker answers. */
    boolean connected() {
        return connected;
    }

    private void run() {
        long assigned = 0;
        boolean first = true;
        try (consumer) {
            while (!closed.get()) {
                try {
                    if (first || System.nanoTime() - assigned > TOPICS_EVERY.toNanos()) {
                        connected = assign(first);
                        assigned = System.nanoTime();
                        first = first && !connected;
                    }
                    if (consumer.assignment().isEmpty()) {
                        Thread.sleep(POLL.toMillis());
                        continue;
                    }
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                        read(record);
                    }
                    showOverdue();
                } catch (WakeupException e) {
                    return;
                } catch (KafkaException e) {
                    connected = false;
                    LOG.warn("Kafka: {}; trying again", e.toString());
                    Thread.sleep(1000);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Takes what partitions there are: new ones from their start, at first all from their end. */
    private boolean assign(boolean first) {
        Map<String, List<PartitionInfo>> topics = consumer.listTopics(TOPICS_EVERY); // Kafka's own patience is a minute
        Set<TopicPartition> all = new HashSet<>();
        for (Map.Entry<String, List<PartitionInfo>> topic : topics.entrySet()) {
            if (resultTopics.containsKey(topic.getKey())
                    || topic.getKey().equals(failuresTopic)
                    || topic.getKey().equals(droppedTopic)) {
                topic.getValue().forEach(info -> all.add(new TopicPartition(info.topic(), info.partition())));
            }
        }
        if (!all.equals(consumer.assignment())) {
            Set<TopicPartition> added = new HashSet<>(all);
            added.removeAll(consumer.assignment());
            consumer.assign(all);
            if (first) {
                consumer.seekToEnd(added);
            } else {
                consumer.seekToBeginning(added);
            }
        }
        return !all.isEmpty();
    }

    private void read(ConsumerRecord<byte[], byte[]> record) {
        long now = System.currentTimeMillis();
        try {
            if (record.topic().equals(failuresTopic)) {
                FrameFailure failure = SingleObject.decode(record.value(), FrameFailure.class);
                statistics.failed(failure.getHeader().getCameraId(), now / 1000, failure.getReason());
            } else if (record.topic().equals(droppedTopic)) {
                FrameDropped dropped = SingleObject.decode(record.value(), FrameDropped.class);
                statistics.dropped(
                        dropped.getHeader().getCameraId(), now / 1000, dropped.getReason(), dropped.getCount());
            } else {
                decode(record.topic(), record.value()).ifPresent(result -> gather(result, now));
            }
        } catch (MalformedRecordException e) {
            LOG.warn("{} {}@{}: {}", record.topic(), record.partition(), record.offset(), e.getMessage());
        }
    }

    private Optional<SpecificRecord> decode(String topic, byte[] value) {
        HeadKind kind = resultTopics.get(topic);
        if (kind == null) {
            return Optional.empty();
        }
        return Optional.of(
                kind == HeadKind.SEGMENTATION
                        ? SingleObject.decode(value, SegmentationRecord.class)
                        : SingleObject.decode(value, FeatureRecord.class));
    }

    static RecordHeader header(SpecificRecord record) {
        return record instanceof SegmentationRecord labels ? labels.getHeader() : ((FeatureRecord) record).getHeader();
    }

    private void gather(SpecificRecord record, long nowMillis) {
        RecordHeader header = header(record);
        if (header.getGeometry().isEmpty()) {
            return;
        }
        Gathering frame = gathering.get(header.getSource());
        if (frame == null) {
            statistics.result(header.getCameraId(), nowMillis / 1000, nowMillis - header.getCaptureTimeMicros() / 1e3);
            frame = new Gathering(header);
            gathering.put(header.getSource(), frame);
        }
        frame.records.add(record);
        if (frame.records.size() >= expected) {
            expected = frame.records.size();
            gathering.remove(header.getSource());
            show(frame);
        }
    }

    private void showOverdue() {
        long now = System.nanoTime();
        Iterator<Gathering> oldest = gathering.values().iterator();
        while (oldest.hasNext()) {
            Gathering frame = oldest.next();
            if (now - frame.since < PATIENCE.toNanos()) {
                return;
            }
            expected = frame.records.size();
            oldest.remove();
            show(frame);
        }
    }

    /** Shows a frame unless a later one of its camera is on the board already. */
    private void show(Gathering frame) {
        if (shown.size() > MAX_SHOWN) {
            shown.clear();
        }
        SourcePosition source = frame.header.getSource();
        SourcePosition before = shown.put(frame.header.getCameraId(), source);
        if (before != null
                && before.getPartition() == source.getPartition()
                && before.getOffset() > source.getOffset()) {
            shown.put(frame.header.getCameraId(), before);
            return;
        }
        board.show(frame.header, frame.records);
    }

    @Override
    public void close() {
        closed.set(true);
        consumer.wakeup();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
