package io.upliftstream.tools.traffic;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.stream.RecordReader;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;

/**
 * Reads every record on the output topics, on a thread of its own, into an {@link Account}: under read_committed where
 * the job delivers exactly once.
 */
public final class Subscriber implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(100);

    private final JobSettings settings;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Thread thread;
    private volatile Account account;
    private volatile boolean closed;
    private volatile @Nullable RuntimeException failure;

    /** @param settings of the job that writes to the topics */
    public Subscriber(FrameTopics topics, JobSettings settings, Account account) {
        this.settings = settings;
        this.account = account;
        boolean committed = settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE;
        consumer = RecordReader.consumer(
                settings,
                Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, committed ? "read_committed" : "read_uncommitted"));
        List<TopicPartition> partitions = topics.outputs().stream()
                .flatMap(topic -> IntStream.range(0, topics.partitions())
                        .mapToObj(partition -> new TopicPartition(topic, partition)))
                .toList();
        consumer.assign(partitions);
        thread = new Thread(this::follow, "subscriber");
        thread.setDaemon(true);
        thread.start();
    }

    /** What is read from now on belongs to another account. */
    public void follow(Account next) {
        account = next;
    }

    private void follow() {
        try {
            while (!closed) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    read(record);
                }
            }
        } catch (RuntimeException e) {
            failure = e;
        } finally {
            consumer.close();
        }
    }

    private void read(ConsumerRecord<byte[], byte[]> record) {
        String topic = record.topic();
        if (topic.equals(settings.get(OutputOptions.FAILURES_TOPIC))) {
            account.failed(
                    SingleObject.decode(record.value(), FrameFailure.class).getHeader(), record.timestamp());
        } else if (topic.equals(settings.get(OutputOptions.DROPPED_TOPIC))) {
            account.dropped(SingleObject.decode(record.value(), FrameDropped.class), record.timestamp());
        } else if (topic.equals(settings.get(OutputOptions.SEGMENTATION_TOPIC))) {
            SegmentationRecord labels = SingleObject.decode(record.value(), SegmentationRecord.class);
            account.result(labels.getHeader(), labels.getName(), record.timestamp());
        } else {
            FeatureRecord tensor = SingleObject.decode(record.value(), FeatureRecord.class);
            account.result(tensor.getHeader(), tensor.getName(), record.timestamp());
        }
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
