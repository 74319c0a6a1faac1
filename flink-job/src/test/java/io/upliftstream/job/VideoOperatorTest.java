package io.upliftstream.job;

import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;
import org.apache.flink.api.common.JobID;
import org.apache.flink.metrics.Metric;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.clusterframework.types.ResourceID;
import org.apache.flink.runtime.executiongraph.ExecutionAttemptID;
import org.apache.flink.runtime.metrics.groups.TaskManagerMetricGroup;
import org.apache.flink.runtime.metrics.groups.TaskMetricGroup;
import org.apache.flink.runtime.metrics.util.TestingMetricRegistry;
import org.apache.flink.runtime.operators.testutils.MockEnvironmentBuilder;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.jspecify.annotations.Nullable;

/** What tests of videos share: packets through the operator, with a real decoder and a model whose answers a test gives. */
abstract class VideoOperatorTest extends OperatorTest {
    /** The topic of a test, of which packets are read again. */
    static final List<RawFrame> TOPIC = new ArrayList<>();

    private final Map<String, Metric> metrics = new ConcurrentHashMap<>();

    private record Rereader() implements PacketReader {
        @Override
        public void read(Range range, Predicate<RawFrame> packets) {
            for (RawFrame record : List.copyOf(TOPIC)) {
                if (record.offset() >= range.from() && record.offset() <= range.to() && !packets.test(record)) {
                    return;
                }
            }
        }

        @Override
        public void close() {}
    }

    OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness(String... settings) throws Exception {
        return harness(
                TestFrames.settings(settings),
                unused -> new Rereader(),
                new MockEnvironmentBuilder().setMetricGroup(metricGroup()));
    }

    private TaskMetricGroup metricGroup() {
        return TaskManagerMetricGroup.createTaskManagerMetricGroup(
                        TestingMetricRegistry.builder()
                                .setRegisterConsumer((metric, name, group) -> metrics.put(name, metric))
                                .build(),
                        "localhost",
                        ResourceID.generate())
                .addJob(new JobID(), "job")
                .addTask(ExecutionAttemptID.randomId(), "task");
    }

    /** The metric with a name, which no other one has, of the newest operator. */
    <M extends Metric> M metric(String name, Class<M> type) {
        return type.cast(Objects.requireNonNull(metrics.get(name)));
    }

    /** An operator whose model answers at once. */
    OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> start(String... settings) throws Exception {
        return resume(null, settings);
    }

    /** The same, that goes on from a checkpoint. */
    OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> resume(
            @Nullable OperatorSubtaskState state, String... settings) throws Exception {
        engine.answerAll();
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = harness(settings);
        if (state != null) {
            harness.initializeState(state);
        }
        harness.open();
        return harness;
    }

    /** All packets, then the end of the input. */
    static void processAll(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness, List<RawFrame> records)
            throws Exception {
        for (RawFrame record : records) {
            process(harness, record);
        }
        finish(harness);
    }

    /** The sequences of what comes of packets, with a restart from a checkpoint after every few of them. */
    List<Long> sequencesOverRestarts(List<RawFrame> records, int cut, String... settings) throws Exception {
        TOPIC.clear();
        TOPIC.addAll(records);
        List<Long> sequences = new ArrayList<>();
        OperatorSubtaskState state = null;
        for (int from = 0; from < records.size(); from += cut) {
            OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = resume(state, settings);
            process(harness, RawFrame.assignment("camera-frames", 3));
            process(harness, RawFrame.assignment("", -1));
            List<RawFrame> part = records.subList(from, Math.min(from + cut, records.size()));
            if (from + cut < records.size()) {
                for (RawFrame record : part) {
                    process(harness, record);
                }
                harness.prepareSnapshotPreBarrier(from);
                state = harness.snapshot(from, 0);
            } else {
                processAll(harness, part);
            }
            sequences.addAll(sequences(harness));
        }
        return sequences;
    }

    static List<FrameDropped> drops(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness) {
        return decode(harness, "dropped", FrameDropped.class);
    }

    static List<FrameFailure> failures(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness) {
        return decode(harness, "failures", FrameFailure.class);
    }
}
