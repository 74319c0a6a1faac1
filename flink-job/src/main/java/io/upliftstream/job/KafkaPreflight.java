package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.MemorySize;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Looks at Kafka before the job starts, so that what cannot work is said in one sentence instead of a restart loop. */
final class KafkaPreflight {
    private static final Logger LOG = LoggerFactory.getLogger(KafkaPreflight.class);

    /** Bytes of a subtask's operators in a checkpoint, measured with 1 to 64 partitions. */
    private static final int CHECKPOINT_BYTES_PER_SUBTASK = 830;

    /** Bytes of a partition in a checkpoint, beside its topic's name. */
    private static final int CHECKPOINT_BYTES_PER_PARTITION = 34;

    private KafkaPreflight() {}

    /**
     * Checks broker, topics and parallelism; creates missing output topics if the settings say so.
     *
     * @param heads of the model, whose topics are needed
     * @return the largest record of each output topic, in bytes
     * @throws StartupException if something is not as the settings say
     */
    static Map<String, Integer> check(JobSettings settings, List<HeadSpec> heads) {
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            String input = settings.get(InputOptions.INPUT_TOPIC);
            int partitions = topics.partitions(input)
                    .orElseThrow(
                            () -> topics.missing("input topic", input, "; uplift publish --partitions N makes it"));
            int parallelism = settings.get(ServingOptions.PARALLELISM);
            if (parallelism > partitions) {
                throw new StartupException(
                        StartupException.CONFIGURATION,
                        "%s: %d (expected: <= %d, the partitions of topic %s)"
                                .formatted(ServingOptions.PARALLELISM.key(), parallelism, partitions, input));
            }
            LOG.info(
                    "a checkpoint takes about {}: the offsets of {} partitions; frames at work are finished before it",
                    new MemorySize(checkpointBytes(parallelism, partitions, input)).toHumanReadableString(),
                    partitions);
            settings.controlTopic().ifPresent(control -> {
                require(topics, settings, "control topic", control, 1);
                require(topics, settings, "answers topic", settings.get(ControlOptions.ANSWERS_TOPIC), 1);
                int found = topics.partitions(control).orElse(0);
                if (found != 1) { // else commands would have no order
                    throw new StartupException(
                            StartupException.ENVIRONMENT,
                            "control topic: %s has %d partitions (expected: 1)".formatted(control, found));
                }
            });
            return outputs(topics, settings, heads, partitions);
        }
    }

    /**
     * Checks the topics that heads are written to, and those of failures and drops.
     *
     * @return the largest record of each, in bytes
     * @throws StartupException if one is missing and may not be created
     */
    static Map<String, Integer> outputs(JobSettings settings, Collection<HeadSpec> heads) {
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            int partitions =
                    topics.partitions(settings.get(InputOptions.INPUT_TOPIC)).orElse(1);
            return outputs(topics, settings, heads, partitions);
        }
    }

    private static Map<String, Integer> outputs(
            KafkaTopics topics, JobSettings settings, Collection<HeadSpec> heads, int partitions) {
        Set<String> outputs = settings.outputTopics(heads);
        outputs.forEach(output -> require(topics, settings, "output topic", output, partitions));
        return topics.maxRecordBytes(outputs);
    }

    /** The largest record of each topic as it is now, in bytes; as it was if Kafka does not say, as while it is away. */
    static Map<String, Integer> limits(JobSettings settings, Map<String, Integer> before) {
        try (KafkaTopics kafka = new KafkaTopics(settings, "")) {
            return kafka.maxRecordBytes(before.keySet());
        } catch (StartupException e) { // which would end a job that waits for its broker
            LOG.warn("the limits of the output topics are taken to be those at the job's start: {}", e.getMessage());
            return before;
        }
    }

    private static void require(KafkaTopics topics, JobSettings settings, String what, String topic, int partitions) {
        if (!topics.hasTopic(topic)) {
            if (!settings.get(OutputOptions.CREATE_TOPICS)) {
                throw topics.missing(what, topic, ", or " + OutputOptions.CREATE_TOPICS.key() + "=true");
            }
            topics.createTopic(
                    topic,
                    partitions,
                    settings.get(OutputOptions.OUTPUT_MAX_BYTES).getBytes());
        }
    }

    /** The size of a checkpoint with exactly-once delivery; a transaction whose commit is under way takes 76 bytes more. */
    private static long checkpointBytes(int parallelism, int partitions, String topic) {
        return (long) parallelism * CHECKPOINT_BYTES_PER_SUBTASK
                + (long) partitions * (CHECKPOINT_BYTES_PER_PARTITION + topic.length());
    }
}
