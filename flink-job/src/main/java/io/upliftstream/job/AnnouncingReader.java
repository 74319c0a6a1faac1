package io.upliftstream.job;

import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.connector.kafka.source.split.KafkaPartitionSplit;
import org.apache.flink.core.io.InputStatus;

/**
 * Kafka's reader, which says which partitions it reads before it reads them: what a checkpoint held of their cameras' videos
 * belongs to this subtask from then on.
 */
@SuppressWarnings("try") // close() throws what that of Kafka's reader does
final class AnnouncingReader implements SourceReader<RawFrame, KafkaPartitionSplit> {
    private final SourceReader<RawFrame, KafkaPartitionSplit> kafka;
    private final Queue<RawFrame> news = new ArrayDeque<>();
    private boolean started;

    AnnouncingReader(SourceReader<RawFrame, KafkaPartitionSplit> kafka) {
        this.kafka = kafka;
    }

    @Override
    public void addSplits(List<KafkaPartitionSplit> splits) {
        splits.forEach(split -> news.add(RawFrame.assignment(split.getTopic(), split.getPartition())));
        kafka.addSplits(splits);
    }

    @Override
    public InputStatus pollNext(ReaderOutput<RawFrame> output) throws Exception {
        if (!started || !news.isEmpty()) {
            started = true;
            news.add(RawFrame.assignment("", -1)); // these are all, until there are more
            news.forEach(output::collect);
            news.clear();
        }
        return kafka.pollNext(output);
    }

    @Override
    public CompletableFuture<Void> isAvailable() {
        return started && news.isEmpty() ? kafka.isAvailable() : CompletableFuture.completedFuture(null);
    }

    @Override
    public void start() {
        kafka.start();
    }

    @Override
    public List<KafkaPartitionSplit> snapshotState(long checkpoint) {
        return kafka.snapshotState(checkpoint);
    }

    @Override
    public void notifyNoMoreSplits() {
        kafka.notifyNoMoreSplits();
    }

    @Override
    public void handleSourceEvents(SourceEvent event) {
        kafka.handleSourceEvents(event);
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) throws Exception {
        kafka.notifyCheckpointComplete(checkpoint);
    }

    @Override
    public void notifyCheckpointAborted(long checkpoint) throws Exception {
        kafka.notifyCheckpointAborted(checkpoint);
    }

    @Override
    public void close() throws Exception {
        kafka.close();
    }
}
