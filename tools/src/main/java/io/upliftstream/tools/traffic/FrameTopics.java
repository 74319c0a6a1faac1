package io.upliftstream.tools.traffic;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.stream.RecordKind;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * The job's topics of one run, under a prefix of their own. Records on the output topics carry the time at which the
 * broker appended them.
 */
public record FrameTopics(String prefix, int partitions) {
    private static final List<ConfigOption<String>> OUTPUTS =
            RecordKind.OUTPUTS.stream().map(RecordKind::topic).toList();

    /** The topic that frames go to. */
    public String input() {
        return prefix + InputOptions.INPUT_TOPIC.defaultValue();
    }

    /** The topics that records come from. */
    public List<String> outputs() {
        return OUTPUTS.stream().map(this::name).toList();
    }

    private String name(ConfigOption<String> output) {
        return prefix + output.defaultValue();
    }

    /** Options of a job between these topics, as {@code key=value}; it reads from the beginning. */
    public List<String> assignments() {
        List<String> names = OUTPUTS.stream()
                .map(output -> output.key() + "=" + name(output))
                .toList();
        return Stream.concat(
                        names.stream(),
                        Stream.of(
                                InputOptions.INPUT_TOPIC.key() + "=" + input(),
                                InputOptions.INPUT_START.key() + "=earliest",
                                InputOptions.GROUP_ID.key() + "=" + prefix + "job",
                                ServingOptions.TRANSACTIONAL_ID_PREFIX.key() + "=" + prefix + "job"))
                .toList();
    }

    /** Creates the topics, each for records of up to so many bytes, and returns when they can be written. */
    public void create(Admin admin, int maxRecordBytes) throws IOException {
        create(admin, Map.of(TopicConfig.MAX_MESSAGE_BYTES_CONFIG, Integer.toString(maxRecordBytes)));
    }

    /** The same with settings of Kafka for all of them. */
    public void create(Admin admin, Map<String, String> settings) throws IOException {
        Map<String, String> ofOutputs = new HashMap<>(settings);
        ofOutputs.put(TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, "LogAppendTime");
        List<NewTopic> topics = new ArrayList<>();
        topics.add(topic(input(), settings));
        for (String output : outputs()) {
            topics.add(topic(output, ofOutputs));
        }
        await(admin.createTopics(topics).all(), "created");
        for (NewTopic topic : topics) {
            while (!led(admin, topic.name())) {
                Thread.onSpinWait();
            }
        }
    }

    /** Whether all of a topic's partitions can be written; a broker hears of a topic after the controller created it. */
    private boolean led(Admin admin, String topic) throws IOException {
        try {
            await(KafkaTopics.ends(admin, topic, partitions), "written to");
            return true;
        } catch (IOException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                return false;
            }
            throw e;
        }
    }

    private NewTopic topic(String name, Map<String, String> settings) {
        return new NewTopic(name, Optional.of(partitions), Optional.empty()).configs(settings);
    }

    /** Deletes the topics. */
    public void delete(Admin admin) throws IOException {
        List<String> all = new ArrayList<>(outputs());
        all.add(input());
        await(admin.deleteTopics(all).all(), "deleted");
    }

    private void await(Future<?> done, String what) throws IOException {
        try {
            done.get();
        } catch (ExecutionException e) {
            throw new IOException(
                    "topics %s* could not be %s: %s".formatted(prefix, what, e.getMessage()), e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while topics %s* are %s".formatted(prefix, what), e);
        }
    }
}
