package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.RegistryOptions;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** The topics that a job writes, and what is in their records: the way back from Kafka. */
public final class OutputTopics {
    private final Map<String, RecordKind> kinds = new LinkedHashMap<>();
    private final RecordDecoder decoder;

    public OutputTopics(JobSettings settings) {
        decoder = RegistryOptions.decoder(settings);
        for (RecordKind kind : RecordKind.OUTPUTS) {
            kinds.putIfAbsent(settings.get(kind.topic()), kind);
        }
        kinds.remove(OutputOptions.NO_TOPIC);
    }

    /** The names of the topics: results before failures before drops. */
    public Set<String> names() {
        return kinds.keySet();
    }

    /** The names of the topics whose records hold a grid of labels or vectors. */
    public Set<String> dense() {
        Map<String, RecordKind> dense = new LinkedHashMap<>(kinds);
        dense.values().removeIf(kind -> !kind.dense());
        return dense.keySet();
    }

    /**
     * What the records of a topic are.
     *
     * @throws IllegalArgumentException if the job does not write to it
     */
    public RecordKind kind(String topic) {
        RecordKind kind = kinds.get(topic);
        if (kind == null) {
            throw new IllegalArgumentException("topic: " + topic + " (expected: one of " + kinds.keySet() + ")");
        }
        return kind;
    }

    /**
     * What is in a record that was read from one of the topics.
     *
     * @throws MalformedRecordException if it is of no such kind
     */
    public SpecificRecord decode(ConsumerRecord<byte[], byte[]> record) {
        return kind(record.topic()).decode(record, decoder);
    }
}
