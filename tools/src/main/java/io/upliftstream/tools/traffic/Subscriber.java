package io.upliftstream.tools.traffic;

import io.upliftstream.job.JobSettings;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordReader;
import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * Reads every record on the output topics, on a thread of its own, into an {@link Account}: under read_committed where
 * the job delivers exactly once. With a group it commits its offsets, and can end without notice and come back.
 */
public final class Subscriber implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(100);
    private static final long COMMIT_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final FrameTopics topics;
    private final JobSettings settings;
    private final @Nullable String group;
    private final OutputTopics outputs;
    /** The offset after the last record that was judged. */
    private final Map<TopicPartition, Long> judged = new HashMap<>();
    /** What had been judged when this ended without notice: records before it are read again, and known by their offsets. */
    private final Map<TopicPartition, Long> known = new HashMap<>();

    private final AtomicLong passedOver = new AtomicLong();
    private Thread thread;
    private volatile Account account;
    private volatile boolean closed;
    private volatile @Nullable RuntimeException failure;

    /** @param settings of the job that writes to the topics */
    public Subscriber(FrameTopics topics, JobSettings settings, Account account) {
        this(topics, settings, account, null);
    }

    /** @param group whose offsets are committed every second, without being a member that the broker assigns to */
    public Subscriber(FrameTopics topics, JobSettings settings, Account account, @Nullable String group) {
        this.topics = topics;
        this.settings = settings;
        this.group = group;
        this.outputs = new OutputTopics(settings);
        this.account = account;
        thread = start();
    }

    private Thread start() {
        Map<String, Object> more = new HashMap<>();
        boolean committed = settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE;
        more.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, committed ? "read_committed" : "read_uncommitted");
        if (group != null) {
            more.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        }
        KafkaConsumer<byte[], byte[]> consumer = RecordReader.consumer(settings, more);
        consumer.assign(topics.outputs().stream()
                .flatMap(topic -> IntStream.range(0, topics.partitions())
                        .mapToObj(partition -> new TopicPartition(topic, partition)))
                .toList());
        Thread started = new Thread(() -> follow(consumer), "subscriber");
        started.setDaemon(true);
        started.start();
        return started;
    }

    /** Ends as if its process were killed: in the middle of what it reads, without a commit. */
    public void kill() {
        close();
    }

    /** Reads on after {@link #kill}, from the offsets that the group committed. */
    public void restart() {
        known.putAll(judged);
        closed = false;
        thread = start();
    }

    /** Records that were read again after {@link #restart}, and known. */
    public long passedOver() {
        return passedOver.get();
    }

    /** What is read from now on belongs to another account. */
    public void follow(Account next) {
        account = next;
    }

    private void follow(KafkaConsumer<byte[], byte[]> consumer) {
        long committed = System.nanoTime();
        try {
            while (!closed) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    if (closed) {
                        return;
                    }
                    judge(record);
                }
                if (!closed && group != null && System.nanoTime() - committed > COMMIT_NANOS) {
                    committed = System.nanoTime();
                    consumer.commitAsync((offsets, failed) -> {}); // if it fails, the next one says more
                }
            }
        } catch (RuntimeException e) {
            failure = e;
        } finally {
            consumer.close(CloseOptions.timeout(Duration.ZERO));
        }
    }

    private void judge(ConsumerRecord<byte[], byte[]> record) {
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        if (record.offset() < known.getOrDefault(partition, 0L)) {
            passedOver.incrementAndGet();
            return;
        }
        known.remove(partition); // from here on a record that comes again is a repeat
        account.read(outputs.decode(record), record.timestamp());
        judged.put(partition, record.offset() + 1);
    }

    /**
     * Returns while all is well.
     *
     * @throws IOException if a record could not be read
     */
    public void throwIfFailed() throws IOException {
        RuntimeException failed = failure;
        if (failed != null) {
            throw new IOException("the output topics cannot be read: " + failed.getMessage(), failed);
        }
    }

    /** What is looked at while one waits for frames; what it throws ends the wait. */
    public interface Look {
        void look() throws IOException;
    }

    /**
     * Waits until every frame of the account has ended.
     *
     * @param patience after so long without a frame that ends it is given up
     * @return whether they have
     * @throws IOException if a record could not be read
     */
    public boolean awaitSettled(Duration patience, Look meanwhile) throws IOException, InterruptedException {
        Account waited = account;
        long open = waited.open();
        long since = System.nanoTime();
        while (!waited.awaitSettled(POLL.toMillis())) {
            throwIfFailed();
            meanwhile.look();
            if (waited.open() != open) {
                open = waited.open();
                since = System.nanoTime();
            } else if (System.nanoTime() - since > patience.toNanos()) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        closed = true;
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
