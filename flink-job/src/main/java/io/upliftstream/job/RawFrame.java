package io.upliftstream.job;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.jspecify.annotations.Nullable;

/**
 * A record of the frame topic as Kafka holds it: bytes and position, nothing read yet, but key and trace cut to bounds.
 * Nobody changes the arrays.
 *
 * @param timestampMillis of the Kafka record, milliseconds since 1970-01-01T00:00:00Z
 * @param key null for none; see {@link BoundedText#key}
 * @param value null for none
 * @param trace of the record's headers
 * @param video what the record's headers say of a packet; null where they name no codec
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record RawFrame(
        String topic,
        int partition,
        long offset,
        long timestampMillis,
        byte @Nullable [] key,
        byte @Nullable [] value,
        TraceContext trace,
        @Nullable VideoHeaders video) {

    /** An offset that no record has. */
    private static final long NO_OFFSET = -1;

    /** A record without headers of a packet. */
    public RawFrame(
            String topic,
            int partition,
            long offset,
            long timestampMillis,
            byte @Nullable [] key,
            byte @Nullable [] value,
            TraceContext trace) {
        this(topic, partition, offset, timestampMillis, key, value, trace, null);
    }

    /** No record, but the news that this subtask reads a partition from here on, or, with none, that it reads. */
    static RawFrame assignment(String topic, int partition) {
        return new RawFrame(topic, partition, NO_OFFSET, 0, null, null, TraceContext.NONE);
    }

    boolean isAssignment() {
        return offset == NO_OFFSET;
    }

    /** A record of which no more than the position is known. */
    static RawFrame position(String topic, int partition, long offset, byte[] key) {
        return new RawFrame(topic, partition, offset, 0, key, null, TraceContext.NONE);
    }

    /** The same without its value, which takes memory. */
    RawFrame withoutValue() {
        return value == null ? this : new RawFrame(topic, partition, offset, timestampMillis, key, null, trace, video);
    }

    static RawFrame of(ConsumerRecord<byte[], byte[]> record) {
        return new RawFrame(
                record.topic(),
                record.partition(),
                record.offset(),
                record.timestamp(),
                BoundedText.key(record.key()),
                record.value(),
                new TraceContext(header(record, TraceContext.TRACEPARENT), header(record, TraceContext.TRACESTATE)),
                VideoHeaders.of(record));
    }

    static @Nullable String header(ConsumerRecord<?, ?> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null || header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8);
    }

    static final TypeInformation<RawFrame> TYPE = new ImmutableType<>(RawFrame.class, new Serializer());

    /** Takes over every record as it is: content never fails here, so that it can fail with a record of its own. */
    static final class Deserializer implements KafkaRecordDeserializationSchema<RawFrame> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<RawFrame> out) {
            out.collect(of(record));
        }

        @Override
        public TypeInformation<RawFrame> getProducedType() {
            return TYPE;
        }
    }

    /** The serializer of a stream whose operators are not chained. */
    static final class Serializer extends ImmutableType.Serializer<RawFrame> {
        @Override
        public RawFrame createInstance() {
            return new RawFrame("", 0, 0, 0, null, null, TraceContext.NONE);
        }

        @Override
        public void serialize(RawFrame frame, DataOutputView target) throws IOException {
            target.writeUTF(frame.topic);
            target.writeInt(frame.partition);
            target.writeLong(frame.offset);
            target.writeLong(frame.timestampMillis);
            writeBytes(frame.key, target);
            writeBytes(frame.value, target);
            writeTrace(frame.trace, target);
            VideoHeaders video = frame.video;
            target.writeBoolean(video != null);
            if (video != null) {
                video.write(target);
            }
        }

        @Override
        public RawFrame deserialize(DataInputView source) throws IOException {
            return new RawFrame(
                    source.readUTF(),
                    source.readInt(),
                    source.readLong(),
                    source.readLong(),
                    readBytes(source),
                    readBytes(source),
                    readTrace(source),
                    source.readBoolean() ? VideoHeaders.read(source) : null);
        }

        @Override
        public TypeSerializerSnapshot<RawFrame> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Public because Flink needs it to be. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<RawFrame> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }
}
