package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.apache.flink.configuration.MemorySize;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Looks at Kafka before the job starts, so that what cannot work is said in one sentence instead of a restart loop. */
final class KafkaPreflight {
    private static final Logger LOG = LoggerFactory.getLogger(KafkaPreflight.class);

    /** Measured in checkpoints of 1 to 64 partitions: the subtask's operators, and a partition beside its topic's name. */
    private static final int CHECKPOINT_BYTES_PER_SUBTASK = 830;

    private static final int CHECKPOINT_BYTES_PER_PARTITION = 34;

    private final JobSettings settings;
    private final String servers;

    private KafkaPreflight(JobSettings settings) {
        this.settings = settings;
        this.servers = settings.get(InputOptions.BOOTSTRAP_SERVERS);
    }

    /**
     * Checks broker, topics and parallelism; creates missing output topics if the settings say so.
     *
     * @param heads of the model, whose topics are needed
     * @return the largest record of each output topic, in bytes
     * @throws StartupException if something is not as the settings say
     */
    static Map<String, Integer> check(JobSettings settings, List<HeadSpec> heads) {
        return new KafkaPreflight(settings).check(heads);
    }

    private Map<String, Integer> check(List<HeadSpec> heads) {
        Properties properties = settings.kafkaProperties();
        String timeout = String.valueOf(settings.get(InputOptions.KAFKA_TIMEOUT).toMillis());
        properties.setProperty(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, timeout);
        properties.setProperty(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, timeout);
        try (Admin admin = Admin.create(properties)) {
            await(admin.describeCluster().nodes());
            int partitions = partitions(admin, settings.get(InputOptions.INPUT_TOPIC))
                    .orElseThrow(() -> missing("input topic", settings.get(InputOptions.INPUT_TOPIC)));
            if (settings.get(ServingOptions.PARALLELISM) > partitions) {
                throw new StartupException(
                        StartupException.CONFIGURATION,
                        "%s: %d (expected: <= %d, the partitions of topic %s)"
                                .formatted(
                                        ServingOptions.PARALLELISM.key(),
                                        settings.get(ServingOptions.PARALLELISM),
                                        partitions,
                                        settings.get(InputOptions.INPUT_TOPIC)));
            }
            LOG.info(
                    "a checkpoint takes about {}: the offsets of {} partitions; frames at work are finished before it",
                    new MemorySize(checkpointBytes(partitions)).toHumanReadableString(),
                    partitions);
            Set<String> outputs = outputs(heads);
            for (String topic : outputs) {
                if (partitions(admin, topic).isEmpty()) {
                    if (!settings.get(OutputOptions.CREATE_TOPICS)) {
                        throw missing("output topic", topic);
                    }
                    create(admin, topic, partitions);
                }
            }
            return limits(admin, outputs);
        } catch (KafkaException e) { // of the client itself, such as brokers whose names nobody knows
            throw unusable(e);
        }
    }

    /** Of exactly-once delivery; a transaction whose commit is under way takes 76 bytes more. */
    private long checkpointBytes(int partitions) {
        int topic = settings.get(InputOptions.INPUT_TOPIC).length();
        return (long) settings.get(ServingOptions.PARALLELISM) * CHECKPOINT_BYTES_PER_SUBTASK
                + (long) partitions * (CHECKPOINT_BYTES_PER_PARTITION + topic);
    }

    private Set<String> outputs(List<HeadSpec> heads) {
        Set<String> topics = new LinkedHashSet<>();
        heads.forEach(head -> settings.topic(head.kind()).ifPresent(topics::add));
        topics.add(settings.get(OutputOptions.FAILURES_TOPIC));
        topics.add(settings.get(OutputOptions.DROPPED_TOPIC));
        return topics;
    }

    private Optional<Integer> partitions(Admin admin, String topic) {
        try {
            TopicDescription description = await(
                            admin.describeTopics(List.of(topic)).allTopicNames())
                    .values()
                    .iterator()
                    .next();
            return Optional.of(description.partitions().size());
        } catch (UnknownTopicOrPartitionException e) {
            return Optional.empty();
        }
    }

    private void create(Admin admin, String topic, int partitions) {
        long maxBytes = settings.get(OutputOptions.OUTPUT_MAX_BYTES).getBytes();
        NewTopic created = new NewTopic(topic, Optional.of(partitions), Optional.empty())
                .configs(Map.of(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, String.valueOf(maxBytes)));
        try {
            await(admin.createTopics(List.of(created)).all());
        } catch (TopicExistsException e) {
            // another job was faster
        }
    }

    private Map<String, Integer> limits(Admin admin, Collection<String> topics) {
        List<ConfigResource> resources = topics.stream()
                .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic))
                .toList();
        Map<ConfigResource, Config> configs =
                await(admin.describeConfigs(resources).all());
        return configs.entrySet().stream()
                .collect(Collectors.toMap(
                        config -> config.getKey().name(),
                        config -> Integer.parseInt(config.getValue()
                                .get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG)
                                .value()),
                        (one, other) -> one,
                        TreeMap::new));
    }

    private <T> T await(KafkaFuture<T> answer) {
        try {
            return answer.get(settings.get(InputOptions.KAFKA_TIMEOUT).toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw unreachable(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw unreachable(e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof org.apache.kafka.common.errors.TimeoutException) {
                throw unreachable(e.getCause());
            } else if (e.getCause() instanceof KafkaException problem) {
                throw problem;
            }
            throw new IllegalStateException(e.getCause());
        }
    }

    private StartupException unreachable(Throwable cause) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                ("Kafka broker: no answer from %s within %d ms (expected: a running broker at %s;"
                                + " a slow one: a larger uplift.kafka.timeout)")
                        .formatted(
                                servers,
                                settings.get(InputOptions.KAFKA_TIMEOUT).toMillis(),
                                InputOptions.BOOTSTRAP_SERVERS.key()),
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
                                InputOptions.BOOTSTRAP_SERVERS.key(),
                                JobSettings.KAFKA_PROPERTIES),
                cause);
    }

    private StartupException missing(String what, String topic) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "%s: %s is not on %s (expected: an existing topic%s)"
                        .formatted(
                                what,
                                topic,
                                servers,
                                what.startsWith("output")
                                        ? ", or " + OutputOptions.CREATE_TOPICS.key() + "=true"
                                        : ""));
    }
}
