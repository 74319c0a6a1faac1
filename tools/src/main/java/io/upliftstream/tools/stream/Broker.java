package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.StartupException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What a command asks of Kafka before it begins, so that what cannot work is said in one sentence. */
public final class Broker implements AutoCloseable {
    private final Admin admin;
    private final String servers;
    private final Duration timeout;

    /** @throws StartupException if the settings are none of a Kafka client */
    public Broker(JobSettings settings) {
        servers = settings.get(JobSettings.BOOTSTRAP_SERVERS);
        timeout = settings.get(JobSettings.KAFKA_TIMEOUT);
        Properties properties = settings.kafkaProperties();
        String millis = Long.toString(timeout.toMillis());
        properties.setProperty(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, millis);
        properties.setProperty(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, millis);
        try {
            admin = Admin.create(properties);
        } catch (KafkaException e) {
            throw unusable(e);
        }
    }

    /**
     * Whether a topic is there.
     *
     * @throws StartupException if no broker answers
     */
    public boolean hasTopic(String topic) {
        return await(admin.describeTopics(List.of(topic)).allTopicNames()).isPresent();
    }

    /**
     * Refuses a topic that is not there.
     *
     * @param advice what to do then
     * @throws StartupException if it is not, or no broker answers
     */
    public void requireTopic(String topic, String advice) {
        if (!hasTopic(topic)) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "topic: %s is not on %s (expected: an existing topic%s)".formatted(topic, servers, advice));
        }
    }

    /** Creates a topic for records of up to so many bytes. */
    public void createTopic(String topic, int partitions, int maxRecordBytes) {
        NewTopic created = new NewTopic(topic, Optional.of(partitions), Optional.empty())
                .configs(Map.of(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Integer.toString(maxRecordBytes)));
        Optional<Void> unused = await(admin.createTopics(List.of(created)).all());
    }

    /** The largest record that a topic takes, in bytes. */
    public int maxRecordBytes(String topic) {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return await(admin.describeConfigs(List.of(resource)).all())
                .map(configs -> configs.get(resource))
                .map(config -> Integer.parseInt(
                        config.get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG).value()))
                .orElseThrow();
    }

    /** The answer; empty if the topic is not known. */
    private <T> Optional<T> await(KafkaFuture<T> answer) {
        try {
            return Optional.ofNullable(answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS));
        } catch (TimeoutException e) {
            throw unreachable(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw unreachable(e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                return Optional.empty();
            } else if (e.getCause() instanceof org.apache.kafka.common.errors.TimeoutException) {
                throw unreachable(e.getCause());
            } else if (e.getCause() instanceof KafkaException problem) {
                throw unusable(problem);
            }
            throw new IllegalStateException(e.getCause());
        }
    }

    private StartupException unreachable(Throwable cause) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                ("Kafka broker: no answer from %s within %d ms (expected: a running broker at %s, or --bootstrap-servers;"
                                + " uplift kafka is one to try things with;"
                                + " a slow one: a larger uplift.kafka.timeout)")
                        .formatted(servers, timeout.toMillis(), JobSettings.BOOTSTRAP_SERVERS.key()),
                cause);
    }

    private StartupException unusable(KafkaException cause) {
        Throwable root = cause.getCause() == null ? cause : cause.getCause();
        return new StartupException(
                StartupException.ENVIRONMENT,
                "Kafka broker: %s at %s (expected: a broker that answers as %s and %s* say)"
                        .formatted(
                                root.getMessage(),
                                servers,
                                JobSettings.BOOTSTRAP_SERVERS.key(),
                                JobSettings.KAFKA_PROPERTIES),
                cause);
    }

    @Override
    public void close() {
        admin.close();
    }
}
