package io.upliftstream.job;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Objects;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.jspecify.annotations.Nullable;

/**
 * Flink's view of a type whose instances nobody changes: between chained operators they are handed on, never copied. The
 * bytes are written only where a stream leaves its chain.
 */
final class ImmutableType<T> extends TypeInformation<T> {
    private final Class<T> type;
    private final Serializer<T> serializer;

    ImmutableType(Class<T> type, Serializer<T> serializer) {
        this.type = type;
        this.serializer = serializer;
    }

    /** Writes and reads the bytes of one type; a subclass has a public constructor without parameters and no state. */
    abstract static class Serializer<T> extends TypeSerializerSingleton<T> {
        @Override
        public boolean isImmutableType() {
            return true;
        }

        @Override
        public T copy(T from) {
            return from;
        }

        @Override
        public T copy(T from, T reuse) {
            return from;
        }

        @Override
        public T deserialize(T reuse, DataInputView source) throws IOException {
            return deserialize(source);
        }

        @Override
        public void copy(DataInputView source, DataOutputView target) throws IOException {
            serialize(deserialize(source), target);
        }

        @Override
        public int getLength() {
            return -1;
        }

        static void writeBytes(byte @Nullable [] bytes, DataOutputView target) throws IOException {
            target.writeInt(bytes == null ? -1 : bytes.length);
            if (bytes != null) {
                target.write(bytes);
            }
        }

        static byte @Nullable [] readBytes(DataInputView source) throws IOException {
            int length = source.readInt();
            if (length < 0) {
                return null;
            }
            byte[] bytes = new byte[length];
            source.readFully(bytes);
            return bytes;
        }

        static void writeTrace(TraceContext trace, DataOutputView target) throws IOException {
            writeText(trace.traceparent(), target);
            writeText(trace.tracestate(), target);
        }

        static TraceContext readTrace(DataInputView source) throws IOException {
            return new TraceContext(readText(source), readText(source));
        }

        private static void writeText(@Nullable String text, DataOutputView target) throws IOException {
            writeBytes(text == null ? null : text.getBytes(StandardCharsets.UTF_8), target);
        }

        private static @Nullable String readText(DataInputView source) throws IOException {
            byte[] text = readBytes(source);
            return text == null ? null : new String(text, StandardCharsets.UTF_8);
        }
    }

    @Override
    public TypeSerializer<T> createSerializer(SerializerConfig config) {
        return serializer;
    }

    @Override
    public Class<T> getTypeClass() {
        return type;
    }

    @Override
    public boolean isBasicType() {
        return false;
    }

    @Override
    public boolean isTupleType() {
        return false;
    }

    @Override
    public boolean isKeyType() {
        return false;
    }

    @Override
    public int getArity() {
        return 1;
    }

    @Override
    public int getTotalFields() {
        return 1;
    }

    @Override
    public boolean canEqual(Object other) {
        return other instanceof ImmutableType;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof ImmutableType<?> that && type == that.type;
    }

    @Override
    public int hashCode() {
        return Objects.hash(type);
    }

    @Override
    public String toString() {
        return type.getSimpleName();
    }
}
