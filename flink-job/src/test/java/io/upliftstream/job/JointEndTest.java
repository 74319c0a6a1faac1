package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.connector.source.ReaderInfo;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.connector.kafka.source.enumerator.KafkaSourceEnumState;
import org.apache.flink.connector.kafka.source.split.KafkaPartitionSplit;
import org.junit.jupiter.api.Test;

class JointEndTest {
    private final Map<Integer, ReaderInfo> readers = new TreeMap<>();
    private final List<Object> told = new ArrayList<>();
    private final JointEnd enumerator = enumerator(false);

    @SuppressWarnings("unchecked")
    private static <T> T stub(Class<? super T> type, InvocationHandler calls) {
        return (T) Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, calls);
    }

    private JointEnd enumerator(boolean complete) {
        SplitEnumerator<KafkaPartitionSplit, KafkaSourceEnumState> kafka =
                stub(SplitEnumerator.class, (proxy, method, arguments) -> null);
        SplitEnumeratorContext<KafkaPartitionSplit> context =
                stub(SplitEnumeratorContext.class, (proxy, method, arguments) -> switch (method.getName()) {
                    case "currentParallelism" -> 2;
                    case "registeredReaders" -> readers;
                    default -> {
                        told.add(method.getName() + " " + arguments[0]);
                        yield null;
                    }
                });
        return new JointEnd(kafka, context, complete);
    }

    private void begins(int subtask) {
        readers.put(subtask, new ReaderInfo(subtask, "here"));
        enumerator.addReader(subtask);
    }

    private void atEnd(int subtask) {
        enumerator.handleSourceEvent(subtask, JointEnd.Event.READER_AT_END);
    }

    @Test
    void readersEndOnceAllAreAtTheirEnd() {
        begins(0);
        begins(1);
        atEnd(1);
        assertThat(told).isEmpty();
        atEnd(0);
        assertThat(told).containsExactly("sendEventToSourceReader 0", "sendEventToSourceReader 1");
    }

    @Test
    void aReaderThatFailedIsAwaitedAnew() {
        begins(0);
        begins(1);
        atEnd(0);
        readers.remove(0);
        atEnd(1);
        begins(0);
        assertThat(told).isEmpty();
        atEnd(0);
        assertThat(told).hasSize(2);
        begins(1); // in the midst of its last pictures
        atEnd(1);
        assertThat(told).hasSize(4);
    }

    @Test
    void withAllPartitionsInTheStateReadersHearThatNoMoreCome() {
        enumerator(true).addReader(1);
        assertThat(told).containsExactly("signalNoMoreSplits 1");
    }
}
