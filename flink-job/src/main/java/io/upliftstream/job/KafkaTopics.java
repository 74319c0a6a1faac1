package io.upliftstream.job;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.utils.Utils;
import org.jspecify.annotations.Nullable;

/**
 * The topics of the Kafka that settings name. What cannot work, such as brokers that do not answer, is a
 * {@link StartupException} of one sentence.
 */
public final class KafkaTopics implements AutoCloseable {
    /** Ample for a connection, which takes one way there and back, and whatever the broker is busy with. */
    private static final Duration CONNECT_PATIENCE = Duration.ofSeconds(3);

    private static final Duration BETWEEN_LOOKS = Duration.ofMillis(20);

    private final Admin admin;
    private final String servers;
    private final Duration timeout;
    private final String otherBroker;
    private boolean reached;

    /**
     * Asks nothing yet.
     *
     * @param otherBroker what else, beside the setting, can name a broker if none answers; begins with a comma, or is empty
     * @throws StartupException if the settings are none of a Kafka client
     */
    public KafkaTopics(JobSettings settings, String otherBroker) {
        this.otherBroker = otherBroker;
        servers = settings.get(InputOptions.BOOTSTRAP_SERVERS);
        timeout = settings.get(InputOptions.KAFKA_TIMEOUT);
        Properties properties = settings.kafkaProperties();
        String millis = Long.toString(timeout.toMillis());
        properties.setProperty(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, millis);
        properties.setProperty(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, millis);
        try {
            admin = Admin.create(properties);
        } catch (KafkaException e) { // such as brokers whose names nobody knows
            for (String server : servers.split(",", -1)) {
                if (Utils.getPort(server.strip()) == null) {
                    throw JobSettings.wrong(
                            InputOptions.BOOTSTRAP_SERVERS.key(), servers, "HOST:PORT, such as localhost:9092");
                }
            }
            throw unusable(e);
        }
    }

    /** The number of a topic's partitions; empty if there is no such topic. */
    Optional<Integer> partitions(String topic) {
        return await(admin.describeTopics(List.of(topic)).allTopicNames(), UnknownTopicOrPartitionException.class)
                .map(topics -> topics.values().iterator().next().partitions().size());
    }

    /** Whether a topic is there. */
    public boolean hasTopic(String topic) {
        return partitions(topic).isPresent();
    }

    /**
     * Refuses a topic that is not there.
     *
     * @param advice what to do then; begins with a comma, or is empty
     * @throws StartupException if it is not there
     */
    public void requireTopic(String topic, String advice) {
        if (!hasTopic(topic)) {
            throw missing("topic", topic, advice);
        }
    }

    /** @param what the topic is, such as an input topic */
    StartupException missing(String what, String topic, String advice) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "%s: %s is not on %s (expected: an existing topic%s)".formatted(what, topic, servers, advice));
    }

    /**
     * Creates a topic for records of up to so many bytes, unless somebody else was faster, and returns when it can be
     * written.
     */
    public void createTopic(String topic, int partitions, long maxRecordBytes) {
        NewTopic created = new NewTopic(topic, Optional.of(partitions), Optional.empty())
                .configs(Map.of(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Long.toString(maxRecordBytes)));
        Optional<Void> unused = await(admin.createTopics(List.of(created)).all(), TopicExistsException.class);
        // The controller answers before every broker has heard of the topic, and before its partitions are led.
        long deadline = System.nanoTime() + timeout.toNanos();
        while (partitions(topic)
                .flatMap(count -> await(ends(admin, topic, count), UnknownTopicOrPartitionException.class))
                .isEmpty()) {
            if (System.nanoTime() > deadline) {
                throw missing("topic", topic, "");
            }
            LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
        }
    }

    /** What tells this Kafka from every other, whatever its brokers are called. */
    public String clusterId() {
        return await(admin.describeCluster().clusterId()).orElseThrow();
    }

    /** Asks for an answer of any kind, and does not wait for it; none in time is Kafka's {@code TimeoutException}. */
    public KafkaFuture<String> ping() {
        return admin.describeCluster().clusterId();
    }

    /** What tells a topic from one of the same name that was there before it or comes after it. */
    public String topicId(String topic) {
        return await(admin.describeTopics(List.of(topic)).allTopicNames(), UnknownTopicOrPartitionException.class)
                .map(topics -> topics.values().iterator().next().topicId().toString())
                .orElseThrow(() -> missing("input topic", topic, ""));
    }

    /** The offset after the last record of each partition. */
    Map<TopicPartition, Long> ends(String topic) {
        int partitions = partitions(topic).orElseThrow(() -> missing("input topic", topic, ""));
        return await(ends(admin, topic, partitions)).orElseThrow();
    }

    /**
     * The offset after the last record of each partition, asked of its leader. So it is there once the partitions of a new
     * topic are led, which is later than that all brokers know of them. Records that are sent to a partition as it gets its
     * leader can be refused for ever: its first batch comes too early, its second in time, and then the first is out of order.
     */
    public static KafkaFuture<Map<TopicPartition, Long>> ends(Admin admin, String topic, int partitions) {
        return admin.listOffsets(IntStream.range(0, partitions)
                        .mapToObj(partition -> new TopicPartition(topic, partition))
                        .collect(Collectors.toMap(partition -> partition, partition -> OffsetSpec.latest())))
                .all()
                .thenApply(ends -> ends.entrySet().stream()
                        .collect(Collectors.toMap(
                                Map.Entry::getKey, end -> end.getValue().offset())));
    }

    /** Says where a consumer group goes on. */
    public void commit(String group, Map<TopicPartition, Long> offsets) {
        Map<TopicPartition, OffsetAndMetadata> committed = new HashMap<>();
        offsets.forEach((partition, offset) -> committed.put(partition, new OffsetAndMetadata(offset)));
        Optional<Void> unused =
                await(admin.alterConsumerGroupOffsets(group, committed).all());
    }

    /** The client ids of a consumer group's members; empty if there is no such group. */
    public List<String> clientIds(String group) {
        return await(admin.describeConsumerGroups(List.of(group)).all(), GroupIdNotFoundException.class)
                .map(groups -> groups.values().stream()
                        .flatMap(found -> found.members().stream())
                        .map(MemberDescription::clientId)
                        .toList())
                .orElse(List.of());
    }

    /** The largest record that a topic takes, in bytes. */
    public int maxRecordBytes(String topic) {
        return maxRecordBytes(List.of(topic)).values().iterator().next();
    }

    /** The largest record that each of the topics takes, in bytes. */
    Map<String, Integer> maxRecordBytes(Collection<String> topics) {
        List<ConfigResource> resources = topics.stream()
                .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic))
                .toList();
        return await(admin.describeConfigs(resources).all(), UnknownTopicOrPartitionException.class)
                .orElseThrow(() -> missing("topic", String.join(", ", topics), ""))
                .entrySet()
                .stream()
                .collect(Collectors.toMap(
                        config -> config.getKey().name(),
                        config -> Integer.parseInt(config.getValue()
                                .get(TopicConfig.MAX_MESSAGE_BYTES_CONFIG)
                                .value()),
                        (one, other) -> one,
                        TreeMap::new));
    }

    /**
     * Refuses brokers at whose addresses nothing listens: the client itself would try until its time is up.
     *
     * @throws StartupException if no connection to any of them is made
     */
    public void requireListener() {
        if (reached) {
            return;
        }
        refusal(servers, timeout.compareTo(CONNECT_PATIENCE) < 0 ? timeout : CONNECT_PATIENCE)
                .ifPresent(refused -> {
                    throw new StartupException(
                            StartupException.ENVIRONMENT,
                            "Kafka broker: no connection to %s: %s (expected: a running broker at %s%s)"
                                    .formatted(servers, refused, InputOptions.BOOTSTRAP_SERVERS.key(), otherBroker));
                });
        reached = true;
    }

    /**
     * Why no connection to any broker is made; empty if there is one.
     *
     * @param servers {@code HOST:PORT}, separated by commas
     * @param patience with each
     */
    public static Optional<String> refusal(String servers, Duration patience) {
        String refused = "";
        for (String server : servers.split(",", -1)) {
            String host = String.valueOf(Utils.getHost(server.strip()));
            try (Socket socket = new Socket()) {
                socket.connect(
                        new InetSocketAddress(host, Utils.getPort(server.strip())),
                        Math.toIntExact(patience.toMillis()));
                return Optional.empty();
            } catch (IOException e) {
                refused = String.valueOf(e.getMessage());
            }
        }
        return Optional.of(refused);
    }

    /** The answer; every failure is told. */
    private <T> Optional<T> await(KafkaFuture<T> answer) {
        return await(answer, null);
    }

    /** The answer; empty if it is the failure that the caller expects. */
    private <T> Optional<T> await(KafkaFuture<T> answer, @Nullable Class<? extends KafkaException> expected) {
        requireListener();
        try {
            return Optional.ofNullable(answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS));
        } catch (TimeoutException e) {
            throw unreachable(e);
        } catch (InterruptedException e) {
            throw new InterruptException(e); // which interrupts this thread anew
        } catch (ExecutionException e) {
            if (expected != null && expected.isInstance(e.getCause())) {
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
                ("Kafka broker: no answer from %s within %d ms (expected: a running broker at %s%s;"
                                + " a slow one: a larger %s)")
                        .formatted(
                                servers,
                                timeout.toMillis(),
                                InputOptions.BOOTSTRAP_SERVERS.key(),
                                otherBroker,
                                InputOptions.KAFKA_TIMEOUT.key()),
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

    @Override
    public void close() {
        admin.close(Duration.ZERO); // a question that nobody waits for is given up
    }
}
