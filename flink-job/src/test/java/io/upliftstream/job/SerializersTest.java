package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;

class SerializersTest {
    private static final TraceContext TRACE =
            new TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b");

    @Test
    void framesSurvive() throws IOException {
        byte[] large = new byte[100_000];
        large[99_999] = 7;
        for (RawFrame frame : new RawFrame[] {
            new RawFrame("t", 3, 1L << 40, 5, new byte[] {1}, large, TRACE),
            new RawFrame("t", 0, 0, -1, null, null, TraceContext.NONE),
            new RawFrame(
                    "t",
                    0,
                    0,
                    -1,
                    new byte[0],
                    new byte[0],
                    new TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", null))
        }) {
            assertThat(roundTrip(RawFrame.TYPE, frame))
                    .usingRecursiveComparison()
                    .isEqualTo(frame);
        }
    }

    @Test
    void messagesSurvive() throws IOException {
        for (OutputMessage message : new OutputMessage[] {
            new OutputMessage("t", new byte[] {1}, new byte[] {2, 3}, TRACE),
            new OutputMessage("t", null, new byte[0], TraceContext.NONE)
        }) {
            assertThat(roundTrip(OutputMessage.TYPE, message))
                    .usingRecursiveComparison()
                    .isEqualTo(message);
        }
    }

    @Test
    void chainedOperatorsPassInstancesOn() {
        RawFrame frame = TestFrames.cameraFrame("north", 1);

        assertThat(serializer(RawFrame.TYPE).copy(frame)).isSameAs(frame);
    }

    private static <T> T roundTrip(TypeInformation<T> type, T value) throws IOException {
        DataOutputSerializer bytes = new DataOutputSerializer(16);
        serializer(type).serialize(value, bytes);
        DataInputDeserializer in = new DataInputDeserializer(bytes.getCopyOfBuffer());
        DataOutputSerializer copied = new DataOutputSerializer(16);
        serializer(type).copy(in, copied);
        return serializer(type).deserialize(new DataInputDeserializer(copied.getCopyOfBuffer()));
    }

    private static <T> TypeSerializer<T> serializer(TypeInformation<T> type) {
        return type.createSerializer(new SerializerConfigImpl());
    }
}
