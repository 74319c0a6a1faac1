package io.upliftstream.tools.stream;

import static java.util.Objects.requireNonNull;

import io.upliftstream.job.ControlOptions;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.StartupException;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.jspecify.annotations.Nullable;

/** Says to a running job which model to serve, on its control topic, and hears what every subtask answers. */
public final class JobCommands {
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
        try (RecordReader reader = new RecordReader(settings, settings.get(ControlOptions.ANSWERS_TOPIC), true, true)) {
            publish(command);
            long deadline = System.nanoTime() + patience.toNanos();
            int expected = Integer.MAX_VALUE;
            while (answers.size() < expected && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : requireNonNull(reader.next())) {
                    ModelAnswer answer = decode(record);
                    if (answer != null && answer.getCommandId().equals(command.getId())) {
                        answers.putIfAbsent(answer.getSubtask(), answer);
                        expected = answer.getSubtasks();
                    }
                }
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
            }
        }
        return List.copyOf(answers.values());
    }

    /** Null for somebody else's bytes. */
    private static @Nullable ModelAnswer decode(ConsumerRecord<byte[], byte[]> record) {
        try {
            return SingleObject.decode(record.value(), ModelAnswer.class);
        } catch (MalformedRecordException e) {
            return null;
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

    /** Every answer in a line for people. */
    public static List<String> lines(List<ModelAnswer> answers) {
        List<String> lines = new ArrayList<>();
        for (ModelAnswer answer : answers) {
            String off =
                    answer.getHeadsOff().isEmpty() ? "" : ", heads off: " + String.join(", ", answer.getHeadsOff());
            String loaded = answer.getLoadMillis() == 0 || answer.getReason().isPresent()
                    ? ""
                    : ", loaded in %d ms".formatted(answer.getLoadMillis());
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
