package io.upliftstream.job;

import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.connector.kafka.source.split.KafkaPartitionSplit;
import org.apache.flink.core.io.InputStatus;

/**
 * Kafka's reader, which says which partitions it reads before it reads them: what a checkpoint held of their cameras' videos
 * belongs to this subtask from then on. At its end it waits for the other subtasks' ({@link JointEnd}).
 */
@SuppressWarnings("try") // close() throws what that of Kafka's reader does
final class AnnouncingReader implements SourceReader<RawFrame, KafkaPartitionSplit> {
    private final SourceReader<RawFrame, KafkaPartitionSplit> kafka;
    private final SourceReaderContext context;
    private final Queue<RawFrame> news = new ArrayDeque<>();
    private final CompletableFuture<Void> allAtEnd = new CompletableFuture<>();
    private boolean started;
    private boolean atEnd;

    AnnouncingReader(SourceReader<RawFrame, KafkaPartitionSplit> kafka, SourceReaderContext context) {
        this.kafka = kafka;
        this.context = context;
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
        InputStatus status = atEnd ? InputStatus.END_OF_INPUT : kafka.pollNext(output);
        if (status != InputStatus.END_OF_INPUT || allAtEnd.isDone()) {
            return status;
        }
        if (!atEnd) {
            atEnd = true;
            context.sendSourceEventToCoordinator(JointEnd.Event.READER_AT_END);
        }
        return InputStatus.NOTHING_AVAILABLE;
    }

    @Override
    public CompletableFuture<Void> isAvailable() {
        if (!started || !news.isEmpty()) {
            return CompletableFuture.completedFuture(null);
        }
        return atEnd ? allAtEnd : kafka.isAvailable();
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
        if (event == JointEnd.Event.ALL_AT_END) {
            allAtEnd.complete(null);
        } else {
            kafka.handleSourceEvents(event);
        }
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
