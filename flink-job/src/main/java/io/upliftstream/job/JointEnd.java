package io.upliftstream.job;

import java.io.IOException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.connector.kafka.source.enumerator.KafkaSourceEnumState;
import org.apache.flink.connector.kafka.source.split.KafkaPartitionSplit;
import org.jspecify.annotations.Nullable;

/**
 * Kafka's enumerator of a bounded job, whose readers end together. Flink refuses a checkpoint with union list state while
 * some subtasks have ended and others have not, and the partitions may end hours apart.
 */
final class JointEnd implements SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> {
    /** What readers and enumerator tell each other. */
    enum Event implements SourceEvent {
        /** From a reader: it has read all. */
        READER_AT_END,
        /** To all of them: so have the others. */
        ALL_AT_END
    }

    private final SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> kafka;
    private final SplitEnumeratorContext<KafkaPartitionSplit> context;
    private final boolean complete;
    private final Set<Integer> atEnd = new HashSet<>();

    /**
     * @param complete whether all partitions are in the state: the connector's own enumerator tells readers that no more come
     *     when it has found new ones, and so never would
     */
    JointEnd(
            SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> kafka,
            SplitEnumeratorContext<KafkaPartitionSplit> context,
            boolean complete) {
        this.kafka = kafka;
        this.context = context;
        this.complete = complete;
    }

    /** A reader begins, and perhaps not for the first time: then it reads again what no checkpoint has. */
    @Override
    public void addReader(int subtask) {
        atEnd.remove(subtask);
        kafka.addReader(subtask);
        if (complete) {
            context.signalNoMoreSplits(subtask);
        }
    }

    @Override
    public void handleSourceEvent(int subtask, SourceEvent event) {
        if (event != Event.READER_AT_END) {
            kafka.handleSourceEvent(subtask, event);
            return;
        }
        atEnd.add(subtask);
        atEnd.retainAll(context.registeredReaders().keySet()); // one that has failed is not, until it is there again
        if (atEnd.size() == context.currentParallelism()) {
            atEnd.forEach(reader -> context.sendEventToSourceReader(reader, Event.ALL_AT_END));
        }
    }

    @Override
    public void start() {
        kafka.start();
    }

    @Override
    public void handleSplitRequest(int subtask, @Nullable String host) {
        kafka.handleSplitRequest(subtask, host);
    }

    @Override
    public void addSplitsBack(List<KafkaPartitionSplit> splits, int subtask) {
        kafka.addSplitsBack(splits, subtask);
    }

    @Override
    public KafkaSourceEnumState snapshotState(long checkpoint) throws Exception {
        return kafka.snapshotState(checkpoint);
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) throws Exception {
        kafka.notifyCheckpointComplete(checkpoint);
    }

    @Override
    public void close() throws IOException {
        kafka.close();
    }
}
