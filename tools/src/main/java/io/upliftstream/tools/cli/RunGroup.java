package io.upliftstream.tools.cli;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.StartupException;
import io.upliftstream.tools.embedded.JobState;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A consumer group of its own, {@code GROUP-run-TOPIC}, whose member says that a run is alive, for runs on other machines
 * to see. The job's group cannot say it: Flink's source assigns itself its partitions, and a group with members would
 * refuse its offsets. The member reads nothing. Whatever Kafka refuses here is a warning, and the job runs.
 */
final class RunGroup implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RunGroup.class);

    /** After which a process that died, or a machine that went away, does not count any more. */
    static final Duration SESSION = Duration.ofSeconds(10);

    private static final Duration POLL = Duration.ofSeconds(1);
    /** By which two processes may see the start of a third apart, if the clock was set in between. */
    private static final long CLOCK_MILLIS = 10_000;

    private static final String MEMBER = "uplift-run";
    private static final Path BOOT = Path.of("/proc/sys/kernel/random/boot_id");

    private final @Nullable KafkaConsumer<byte[], byte[]> member;
    private final @Nullable Thread thread;
    private final Optional<String> warning;

    private RunGroup(
            @Nullable KafkaConsumer<byte[], byte[]> member, @Nullable Thread thread, Optional<String> warning) {
        this.member = member;
        this.thread = thread;
        this.warning = warning;
    }

    /**
     * Joins, in the background.
     *
     * @throws StartupException if another run is a member
     */
    static RunGroup join(JobSettings settings) {
        String topic = settings.get(InputOptions.INPUT_TOPIC);
        String group = settings.get(InputOptions.GROUP_ID) + "-run-" + topic;
        List<String> members;
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            members = topics.clientIds(group);
        } catch (StartupException e) {
            return new RunGroup(
                    null,
                    null,
                    Optional.of("Nobody notices if another machine runs the same job: group %s, %s"
                            .formatted(group, e.getMessage())));
        }
        members.stream().filter(RunGroup::alive).findFirst().ifPresent(other -> {
            throw JobState.taken(
                    "group %s reads topic %s".formatted(settings.get(InputOptions.GROUP_ID), topic),
                    "%s, or was until %d s ago".formatted(other, SESSION.toSeconds()));
        });
        KafkaConsumer<byte[], byte[]> member = new KafkaConsumer<>(properties(settings, group));
        Thread thread = new Thread(() -> stay(member, topic), group);
        thread.setDaemon(true);
        thread.start();
        return new RunGroup(member, thread, Optional.empty());
    }

    /** What is to be said about it; empty if all is well. */
    Optional<String> warning() {
        return warning;
    }

    private static Properties properties(JobSettings settings, String group) {
        ProcessHandle self = ProcessHandle.current();
        Properties properties = settings.kafkaProperties();
        properties.setProperty(ConsumerConfig.GROUP_ID_CONFIG, group);
        properties.setProperty(
                ConsumerConfig.CLIENT_ID_CONFIG, "%s%d-%d".formatted(machine(), self.pid(), startMillis(self)));
        properties.remove(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG);
        properties.setProperty(ConsumerConfig.GROUP_PROTOCOL_CONFIG, "classic");
        properties.setProperty(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, Long.toString(SESSION.toMillis()));
        properties.setProperty(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, Long.toString(SESSION.toMillis() / 4));
        properties.setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        properties.setProperty(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "latest");
        properties.setProperty(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
        properties.setProperty(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
        return properties;
    }

    private static void stay(KafkaConsumer<byte[], byte[]> member, String topic) {
        try (member) {
            member.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    member.pause(partitions); // nothing is fetched
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
            });
            while (true) {
                member.poll(POLL);
            }
        } catch (WakeupException e) {
            // The run has ended.
        } catch (KafkaException e) {
            LOG.warn("nobody notices if another machine runs the same job", e);
        }
    }

    /** Whether a member may be a run that goes on: one of this machine is looked for, another one is believed. */
    private static boolean alive(String clientId) {
        String here = machine();
        if (!clientId.startsWith(here)) {
            return clientId.startsWith(MEMBER);
        }
        if (!clientId.substring(here.length()).matches("\\d{1,18}-\\d{1,18}")) {
            return true;
        }
        String[] process = clientId.substring(here.length()).split("-", 2);
        long pid = Long.parseLong(process[0]);
        long start = Long.parseLong(process[1]);
        return pid != ProcessHandle.current().pid()
                && ProcessHandle.of(pid)
                        .filter(found -> Math.abs(startMillis(found) - start) < CLOCK_MILLIS)
                        .isPresent();
    }

    /** The beginning of the client ids of this machine, which no other has, nor this one when it is started again. */
    private static String machine() {
        String host;
        String boot;
        try {
            host = InetAddress.getLocalHost().getHostName();
        } catch (IOException e) {
            host = "unknown";
        }
        try {
            boot = Files.readString(BOOT).substring(0, 8);
        } catch (IOException e) { // no Linux
            boot = "";
        }
        return "%s-%s-%s-".formatted(MEMBER, host, boot);
    }

    /** When a process began, beside its id, which comes again. */
    private static long startMillis(ProcessHandle process) {
        return process.info().startInstant().map(Instant::toEpochMilli).orElse(0L);
    }

    /** Leaves. */
    @Override
    public void close() {
        if (member == null || thread == null) {
            return;
        }
        member.wakeup();
        try {
            thread.join(SESSION.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
