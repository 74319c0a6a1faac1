package io.upliftstream.job;

import java.io.IOException;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.KafkaSourceEnumState;
import org.apache.flink.connector.kafka.source.split.KafkaPartitionSplit;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.kafka.common.TopicPartition;

/**
 * Kafka's source, whose state says where a partition is to be read on, and not how far. Where reading ends is decided at
 * every start: with the connector's own state, a job would end where the one before it was to end, or never. Where it ends,
 * its readers end together ({@link JointEnd}).
 */
final class FrameSource
        implements Source<RawFrame, KafkaPartitionSplit, KafkaSourceEnumState>, ResultTypeQueryable<RawFrame> {
    private static final long serialVersionUID = 1L;

    private final KafkaSource<RawFrame> kafka;
    private final HashMap<TopicPartition, Long> ends;

    /** @param ends the offset after the last record to be read of each partition; empty if reading never ends */
    FrameSource(KafkaSource<RawFrame> kafka, Map<TopicPartition, Long> ends) {
        this.kafka = kafka;
        this.ends = new HashMap<>(ends);
    }

    private KafkaPartitionSplit endingHere(KafkaPartitionSplit split) {
        return new KafkaPartitionSplit(
                split.getTopicPartition(),
                split.getStartingOffset(),
                ends.getOrDefault(split.getTopicPartition(), KafkaPartitionSplit.NO_STOPPING_OFFSET));
    }

    private Collection<KafkaPartitionSplit> endingHere(Collection<KafkaPartitionSplit> splits) {
        return splits.stream().map(this::endingHere).toList();
    }

    @Override
    public SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> restoreEnumerator(
            SplitEnumeratorContext<KafkaPartitionSplit> context, KafkaSourceEnumState state) throws IOException {
        var restored = kafka.restoreEnumerator(
                context,
                new KafkaSourceEnumState(
                        endingHere(state.assignedSplits()),
                        endingHere(state.unassignedSplits()),
                        state.initialDiscoveryFinished()));
        Set<TopicPartition> known = state.splits().stream()
                .map(split -> split.split().getTopicPartition())
                .collect(Collectors.toSet());
        return ends.isEmpty() ? restored : new JointEnd(restored, context, known.containsAll(ends.keySet()));
    }

    @Override
    public SimpleVersionedSerializer<KafkaPartitionSplit> getSplitSerializer() {
        SimpleVersionedSerializer<KafkaPartitionSplit> serializer = kafka.getSplitSerializer();
        return new SimpleVersionedSerializer<>() {
            @Override
            public int getVersion() {
                return serializer.getVersion();
            }

            @Override
            public byte[] serialize(KafkaPartitionSplit split) throws IOException {
                return serializer.serialize(split);
            }

            @Override
            public KafkaPartitionSplit deserialize(int version, byte[] serialized) throws IOException {
                return endingHere(serializer.deserialize(version, serialized));
            }
        };
    }

    @Override
    public Boundedness getBoundedness() {
        return kafka.getBoundedness();
    }

    @Override
    public SourceReader<RawFrame, KafkaPartitionSplit> createReader(SourceReaderContext context) throws Exception {
        return new AnnouncingReader(kafka.createReader(context), context);
    }

    @Override
    public SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> createEnumerator(
            SplitEnumeratorContext<KafkaPartitionSplit> context) {
        var enumerator = kafka.createEnumerator(context);
        return ends.isEmpty() ? enumerator : new JointEnd(enumerator, context, false);
    }

    @Override
    public SimpleVersionedSerializer<KafkaSourceEnumState> getEnumeratorCheckpointSerializer() {
        return kafka.getEnumeratorCheckpointSerializer();
    }

    @Override
    public TypeInformation<RawFrame> getProducedType() {
        return kafka.getProducedType();
    }
}
