package io.upliftstream.tools.stream;

import io.upliftstream.job.ControlOptions;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.StartupException;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Says to a running job which model to serve, on its control topic, and hears what every subtask answers. */
public final class JobCommands {
    private static final Duration POLL = Duration.ofMillis(200);

    private final JobSettings settings;
    private final String topic;

    /** @throws StartupException if the settings name no control topic, or it or the answers' is not there */
    public JobCommands(JobSettings settings) {
        this.settings = settings;
        topic = settings.controlTopic()
                .orElseThrow(() -> new StartupException(
                        StartupException.CONFIGURATION,
                        ControlOptions.CONTROL_TOPIC.key()
                                + " is not set (expected: the topic that the running job takes commands from)"));
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            for (String needed : List.of(topic, settings.get(ControlOptions.ANSWERS_TOPIC))) {
                topics.requireTopic(needed, ", which the job makes with uplift.output.create-topics=true");
            }
        }
    }

    /** A command with an id of its own. */
    public static ModelCommand.Builder command(ModelAction action) {
        return ModelCommand.newBuilder().setId(UUID.randomUUID().toString()).setAction(action);
    }

    /**
     * Sends a command and waits for the answers.
     *
     * @return the first answer of each subtask that came in time, by subtask
     */
    public List<ModelAnswer> send(ModelCommand command, Duration patience) throws IOException, InterruptedException {
        TreeMap<Integer, ModelAnswer> answers = new TreeMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(consumer(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions =
                    consumer.partitionsFor(settings.get(ControlOptions.ANSWERS_TOPIC)).stream()
                            .map(info -> new TopicPartition(info.topic(), info.partition()))
                            .toList();
            consumer.assign(partitions);
            consumer.seekToEnd(partitions);
            partitions.forEach(consumer::position); // now, not at the first poll
            publish(command);
            long deadline = System.nanoTime() + patience.toNanos();
            int expected = Integer.MAX_VALUE;
            while (answers.size() < expected && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    ModelAnswer answer = decode(record);
                    if (answer.getCommandId().equals(command.getId())) {
                        answers.putIfAbsent(answer.getSubtask(), answer);
                        expected = answer.getSubtasks();
                    }
                }
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
            }
        }
        return answers.values().stream()
                .sorted(Comparator.comparingInt(ModelAnswer::getSubtask))
                .toList();
    }

    private static ModelAnswer decode(ConsumerRecord<byte[], byte[]> record) {
        try {
            return SingleObject.decode(record.value(), ModelAnswer.class);
        } catch (MalformedRecordException e) { // somebody else's: it is about no command
            return ModelAnswer.newBuilder()
                    .setCommandId("")
                    .setSubtask(0)
                    .setSubtasks(0)
                    .setOutcome(ModelOutcome.UNKNOWN)
                    .setModel("")
                    .setSha256("")
                    .setTimeMicros(0)
                    .build();
        }
    }

    private void publish(ModelCommand command) throws IOException, InterruptedException {
        Properties properties = settings.kafkaProperties();
        properties.setProperty(
                ProducerConfig.MAX_BLOCK_MS_CONFIG,
                Long.toString(settings.get(InputOptions.KAFKA_TIMEOUT).toMillis()));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(topic, SingleObject.encode(command)))
                    .get();
        } catch (ExecutionException e) {
            throw new IOException("topic %s takes no command: %s".formatted(topic, e.getMessage()), e);
        }
    }

    private Properties consumer() {
        Properties properties = settings.kafkaProperties();
        properties.setProperty(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        return properties;
    }

    /** Every answer in a line for people. */
    public static List<String> lines(List<ModelAnswer> answers) {
        List<String> lines = new ArrayList<>();
        for (ModelAnswer answer : answers) {
            String off =
                    answer.getHeadsOff().isEmpty() ? "" : ", heads off: " + String.join(", ", answer.getHeadsOff());
            String loaded = answer.getLoadMillis() == 0 ? "" : ", loaded in %d ms".formatted(answer.getLoadMillis());
            String refused = answer.getReason()
                    .map(reason -> ": " + reason + "; still serving")
                    .orElse("");
            lines.add("subtask %d of %d: %s%s %s, sha256 %s%s%s"
                    .formatted(
                            answer.getSubtask(),
                            answer.getSubtasks(),
                            answer.getOutcome().name().toLowerCase(Locale.ROOT).replace('_', ' '),
                            refused,
                            answer.getModel(),
                            answer.getSha256(),
                            loaded,
                            off));
        }
        return lines;
    }
}
