package io.upliftstream.job;

import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.jspecify.annotations.Nullable;

/**
 * A Kafka record that is ready to be sent: it was encoded beside the model, so that the sink only passes bytes on. Nobody
 * changes the arrays. The producer sets the timestamp.
 *
 * @param key null for none
 * @param trace becomes the record's headers
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record OutputMessage(String topic, byte @Nullable [] key, byte[] value, TraceContext trace) {

    static final TypeInformation<OutputMessage> TYPE = new ImmutableType<>(OutputMessage.class, new Serializer());

    /** More bytes than Kafka adds to a record: 61 for its batch, 21 for itself, and the lengths of the headers. */
    private static final int ENVELOPE = 128;

    /** The record of an answer to a command. */
    static OutputMessage answer(String topic, ModelAnswer answer) {
        byte[] key = answer.getCommandId().getBytes(StandardCharsets.UTF_8);
        return new OutputMessage(topic, key, SingleObject.encode(answer), TraceContext.NONE);
    }

    /** An upper bound of the bytes that the record takes in Kafka's log before compression. */
    long size() {
        return (long) ENVELOPE
                + (key == null ? 0 : key.length)
                + value.length
                + headerSize(TraceContext.TRACEPARENT, trace.traceparent())
                + headerSize(TraceContext.TRACESTATE, trace.tracestate());
    }

    private static int headerSize(String name, @Nullable String value) {
        return value == null ? 0 : name.length() + value.getBytes(StandardCharsets.UTF_8).length;
    }

    /** Sends every message to its own topic. */
    static final class ToRecord implements KafkaRecordSerializationSchema<OutputMessage> {
        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                OutputMessage message, KafkaSinkContext context, @Nullable Long timestamp) {
            return record(message);
        }

        static ProducerRecord<byte[], byte[]> record(OutputMessage message) {
            ProducerRecord<byte[], byte[]> record =
                    new ProducerRecord<>(message.topic, null, null, message.key, message.value);
            addHeader(record, TraceContext.TRACEPARENT, message.trace.traceparent());
            addHeader(record, TraceContext.TRACESTATE, message.trace.tracestate());
            return record;
        }

        private static void addHeader(ProducerRecord<?, ?> record, String name, @Nullable String value) {
            if (value != null) {
                record.headers().add(name, value.getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    /** The serializer of a stream whose operators are not chained. */
    static final class Serializer extends ImmutableType.Serializer<OutputMessage> {
        @Override
        public OutputMessage createInstance() {
            return new OutputMessage("", null, new byte[0], TraceContext.NONE);
        }

        @Override
        public void serialize(OutputMessage message, DataOutputView target) throws IOException {
            target.writeUTF(message.topic);
            writeBytes(message.key, target);
            writeBytes(message.value, target);
            writeTrace(message.trace, target);
        }

        @Override
        public OutputMessage deserialize(DataInputView source) throws IOException {
            return new OutputMessage(
                    source.readUTF(), readBytes(source), Objects.requireNonNull(readBytes(source)), readTrace(source));
        }

        @Override
        public TypeSerializerSnapshot<OutputMessage> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Public because Flink needs it to be. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<OutputMessage> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }
}
