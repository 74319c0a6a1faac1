package io.upliftstream.tools.view;

import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.tools.stream.ClaimedPayloads;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordKind;
import io.upliftstream.tools.stream.RecordReader;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
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
import org.jspecify.annotations.Nullable;
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

    /** Frames of which records are missing, and bytes of them; beyond that they are shown as they are. */
    private static final int MAX_GATHERING = 1024;

    /** Records of one frame: a model has one or several heads for a topic. */
    static final int MAX_HEADS = 64;

    private static final long MAX_GATHERING_BYTES = Runtime.getRuntime().maxMemory() / 8;
    private static final long FETCH_BYTES = Math.min(
            ConsumerConfig.DEFAULT_FETCH_MAX_BYTES, Runtime.getRuntime().maxMemory() / 16);

    /** A store that does not answer holds the page up for so long at every record. */
    static final Duration PAYLOAD_PATIENCE = Duration.ofSeconds(2);

    private final OutputTopics outputs;
    private final ClaimedPayloads payloads;
    private final Board board;
    private final Statistics statistics;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread = new Thread(this::run, "feed");
    private final AtomicBoolean closed = new AtomicBoolean();

    /** Frames of which records are missing, oldest first. */
    private final Map<Frame, Gathering> gathering = new LinkedHashMap<>();

    private long gatheringBytes;

    /** The last frame of every camera, and the heads of which its frames have records. */
    private final Map<String, Shown> shown = new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Shown> eldest) {
            return size() > MAX_SHOWN;
        }
    };

    private volatile boolean connected;

    private record Frame(String camera, int partition, long offset) {
        static Frame of(RecordHeader header) {
            return new Frame(
                    header.getCameraId(),
                    header.getSource().getPartition(),
                    header.getSource().getOffset());
        }
    }

    private static final class Gathering {
        final long since = System.nanoTime();
        final RecordHeader header;
        final Map<String, SpecificRecord> records = new LinkedHashMap<>(); // by their heads
        long bytes;

        Gathering(RecordHeader header) {
            this.header = header;
        }
    }

    private record Shown(Frame frame, Set<String> heads, long since) {
        /** Whether a frame is this one or was before it. A topic that begins anew is believed after a while. */
        boolean covers(Frame other) {
            return other.partition == frame.partition
                    && other.offset <= frame.offset
                    && System.nanoTime() - since < 2 * PATIENCE.toNanos();
        }
    }

    Feed(JobSettings settings, Board board, Statistics statistics) {
        this.board = board;
        this.statistics = statistics;
        outputs = new OutputTopics(settings);
        payloads = new ClaimedPayloads(settings, PAYLOAD_PATIENCE);
        // A page shows what the job says now; that a checkpoint may take it back does not matter here.
        consumer = RecordReader.consumer(
                settings,
                Map.of(
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG,
                        "latest",
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted",
                        ConsumerConfig.FETCH_MAX_BYTES_CONFIG,
                        (int) FETCH_BYTES));
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
            if (outputs.names().contains(topic.getKey())) {
                topic.getValue().forEach(info -> all.add(new TopicPartition(info.topic(), info.partition())));
            }
        }
        if (!all.equals(consumer.assignment())) {
            Set<TopicPartition> added = new HashSet<>(all);
            added.removeAll(consumer.assignment());
            consumer.assign(all);
            if (first) {
                consumer.seekToEnd(added);
                added.forEach(consumer::position); // now, not at the first poll
            } else {
                consumer.seekToBeginning(added);
            }
        }
        return !all.isEmpty();
    }

    private void read(ConsumerRecord<byte[], byte[]> consumed) {
        long now = System.currentTimeMillis();
        try {
            SpecificRecord record = outputs.decode(consumed);
            String camera = RecordKind.cameraId(record);
            if (record instanceof FrameFailure failure) {
                statistics.failed(camera, now / 1000, failure.getReason());
            } else if (record instanceof FrameDropped dropped) {
                statistics.dropped(camera, now / 1000, dropped.getReason(), dropped.getCount());
            } else {
                Moment.check(record);
                gather(record, consumed.serializedValueSize() + payloads.fetch(record), now);
            }
        } catch (MalformedRecordException e) {
            unreadable(consumed, String.valueOf(e.getMessage()), null);
        } catch (RuntimeException e) { // that nobody foresaw: one record, not the page
            unreadable(consumed, e.toString(), e);
        }
    }

    private void unreadable(
            ConsumerRecord<byte[], byte[]> consumed, String reason, @Nullable RuntimeException unforeseen) {
        if (statistics.unreadable(consumed.topic(), reason)) { // the page counts the others
            LOG.warn("{} {}@{}: {}", consumed.topic(), consumed.partition(), consumed.offset(), reason, unforeseen);
        }
    }

    private void gather(SpecificRecord record, long bytes, long nowMillis) {
        RecordHeader header = RecordKind.header(record);
        Frame key = Frame.of(header);
        Shown last = shown.get(key.camera);
        String head = RecordKind.head(record);
        Gathering frame = gathering.get(key);
        if (frame == null && last != null && last.covers(key)) { // it came too late: the next is waited for
            if (last.heads.size() < MAX_HEADS) {
                last.heads.add(head);
            }
            return;
        }
        if (frame == null) {
            statistics.result(header.getCameraId(), nowMillis / 1000, nowMillis - header.getCaptureTimeMicros() / 1e3);
            frame = new Gathering(header);
            gathering.put(key, frame);
        }
        if (frame.records.putIfAbsent(head, record) == null) { // one that came again says the same
            frame.bytes += bytes;
            gatheringBytes += bytes;
        }
        Set<String> heads = frame.records.keySet();
        if (heads.size() >= MAX_HEADS
                || (last == null ? heads.size() >= outputs.dense().size() : heads.containsAll(last.heads))) {
            show(key);
        }
        while (gathering.size() > MAX_GATHERING || gatheringBytes > MAX_GATHERING_BYTES) {
            show(gathering.keySet().iterator().next());
        }
    }

    private void showOverdue() {
        long now = System.nanoTime();
        while (!gathering.isEmpty()) {
            Map.Entry<Frame, Gathering> oldest = gathering.entrySet().iterator().next();
            if (now - oldest.getValue().since < PATIENCE.toNanos()) {
                return;
            }
            show(oldest.getKey());
        }
    }

    /** Shows a frame, as complete as it is, unless a later one of its camera is on the board already. */
    private void show(Frame key) {
        Gathering frame = Objects.requireNonNull(gathering.remove(key));
        gatheringBytes -= frame.bytes;
        Shown last = shown.get(key.camera);
        if (last == null || !last.covers(key)) {
            shown.put(key.camera, new Shown(key, new HashSet<>(frame.records.keySet()), System.nanoTime()));
            board.show(frame.header, List.copyOf(frame.records.values()), frame.bytes);
        }
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
