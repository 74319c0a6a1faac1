package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The control topic, read by every subtask on a thread of its own, from the offset that its state names. Not a source of
 * Flink's: beside a second input the frames would have to leave their chain.
 */
final class ControlTopic implements ModelControl {
    private static final long serialVersionUID = 1L;
    private static final Logger LOG = LoggerFactory.getLogger(ControlTopic.class);
    private static final Duration POLL = Duration.ofSeconds(1);
    private static final Duration JOIN = Duration.ofSeconds(5);
    private static final Duration AFTER_FAILURE = Duration.ofSeconds(5);

    private final JobSettings settings;
    private final TopicPartition partition;
    private final long start;

    /** @param start offset of the first command of a job without state */
    ControlTopic(JobSettings settings, String topic, long start) {
        this.settings = settings;
        partition = new TopicPartition(topic, 0);
        this.start = start;
    }

    @Override
    public String topic() {
        return partition.topic();
    }

    @Override
    public long start() {
        return start;
    }

    @Override
    public Map<String, Integer> topicLimits(Collection<HeadSpec> heads) {
        return KafkaPreflight.outputs(settings, heads);
    }

    @Override
    public Runnable listen(long offset, Listener listener) {
        Thread thread = new Thread(() -> read(offset, listener), "uplift-control");
        thread.setDaemon(true);
        thread.start();
        return () -> {
            thread.interrupt();
            try {
                thread.join(JOIN.toMillis());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        };
    }

    private void read(long offset, Listener listener) {
        long next = offset;
        while (!Thread.currentThread().isInterrupted()) {
            try (KafkaConsumer<byte[], byte[]> consumer =
                    new KafkaConsumer<>(properties(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.assign(List.of(partition));
                consumer.seek(partition, next);
                while (true) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                        next = record.offset() + 1;
                        listener.command(record.value(), next).get();
                    }
                }
            } catch (InterruptException | InterruptedException e) {
                return;
            } catch (ExecutionException | RejectedExecutionException e) {
                LOG.debug("the task takes no more commands", e);
                return;
            } catch (KafkaException e) { // such as a right that is missing: frames flow on
                LOG.warn("topic {} cannot be read, trying again: {}", partition.topic(), e.getMessage());
                try {
                    Thread.sleep(AFTER_FAILURE.toMillis());
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }

    private Properties properties() {
        Properties properties = settings.kafkaProperties();
        properties.setProperty(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.setProperty(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "1");
        properties.setProperty(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"); // where retention took some
        properties.setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        properties.setProperty(ConsumerConfig.FETCH_MAX_BYTES_CONFIG, "65536");
        properties.setProperty(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, "65536");
        return properties;
    }
}
