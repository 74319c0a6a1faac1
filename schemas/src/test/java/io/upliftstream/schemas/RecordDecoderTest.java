package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(value = 30, unit = TimeUnit.SECONDS)
class RecordDecoderTest {
    private StubRegistry server;

    @BeforeEach
    void start() throws IOException {
        server = new StubRegistry();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    static Iterable<SpecificRecord> records() {
        return GoldenRecords.all().values();
    }

    @ParameterizedTest
    @MethodSource("records")
    void bothFramingsAreReadWithAndWithoutARegistry(SpecificRecord record) {
        byte[] single = SingleObject.encode(record);
        byte[] framed = WireFormat.encode(record, 0x01020304);
        assertThat(Arrays.copyOf(framed, 5)).containsExactly(0, 1, 2, 3, 4);
        assertThat(Arrays.copyOfRange(framed, 5, framed.length))
                .isEqualTo(Arrays.copyOfRange(single, 10, single.length));
        answer(SingleObject.schema(record.getClass().asSubclass(SpecificRecord.class)));

        RecordDecoder without = new RecordDecoder();
        for (RecordDecoder decoder : new RecordDecoder[] {without, new RecordDecoder(server.client(null))}) {
            assertThat(decoder.decode(single, record.getClass())).isEqualTo(record);
            assertThat(decoder.decode(framed, record.getClass())).isEqualTo(record);
            assertThat(decoder.decode(single)).isEqualTo(record);
            assertThat(decoder.decode(framed)).isEqualTo(record); // told without being named
            for (int length = 0; length < framed.length; length += Math.max(1, framed.length / 50)) {
                byte[] part = Arrays.copyOf(framed, length);
                try {
                    SpecificRecord read = decoder.decode(part, record.getClass());
                    assertThat(decoder).as("%s", read).isSameAs(without); // some versions end where others go on
                } catch (MalformedRecordException e) {
                    assertThat(e).hasMessageContaining("expected");
                }
            }
            byte[] more = Arrays.copyOf(framed, framed.length + 1);
            assertThatThrownBy(() -> decoder.decode(more, record.getClass()))
                    .isInstanceOf(MalformedRecordException.class);
        }
        assertThat(server.asked).containsExactly("GET /api/schemas/ids/16909060 null ");
    }

    @Test
    void whatLaterWritersAddIsLeftOut() throws IOException {
        String published = SingleObject.schema(CameraFrame.class).toString();
        Schema evolved = new Schema.Parser()
                .parse(
                        published.substring(0, published.length() - 2)
                                + ", {\"name\": \"lens\", \"type\": {\"type\": \"array\", \"items\": \"double\"}, \"default\": []}]}");
        GenericRecord frame = frameWithoutCamera(evolved);
        frame.put("cameraId", "gate");
        frame.put("lens", java.util.List.of(1.0, 2.0));
        byte[] bytes = framed(frame);
        answer(evolved);

        CameraFrame read = new RecordDecoder(server.client(null)).decode(bytes, CameraFrame.class);

        assertThat(read.getCameraId()).isEqualTo("gate");
        assertThat(read.getImage()).isEqualTo(ByteBuffer.wrap(new byte[] {1, 2, 3}));
        assertThatThrownBy(() -> new RecordDecoder().decode(bytes, CameraFrame.class))
                .hasMessageEndingWith(
                        "in Confluent's wire format, schema id 9, of no published version (expected: the schema registry that knows the id)");
    }

    /** As Kafka Connect and Flink SQL declare every field. */
    @Test
    void whatAWriterMayLeaveOutIsReadWhereItIsThere() throws IOException {
        Schema nullable = new Schema.Parser()
                .parse(SingleObject.schema(CameraFrame.class)
                        .toString()
                        .replace(
                                "\"name\":\"cameraId\",\"type\":\"string\"",
                                "\"name\":\"cameraId\",\"type\":[\"null\",\"string\"]"));
        GenericRecord frame = frameWithoutCamera(nullable);
        byte[] without = framed(frame);
        frame.put("cameraId", "gate");
        answer(nullable);
        RecordDecoder decoder = new RecordDecoder(server.client(null));

        assertThat(decoder.decode(framed(frame), CameraFrame.class).getCameraId())
                .isEqualTo("gate");
        assertThatThrownBy(() -> decoder.decode(without, CameraFrame.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageStartingWith("CameraFrame: ");
    }

    private static byte[] framed(GenericRecord record) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(new byte[] {0, 0, 0, 0, 9});
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(record.getSchema()).write(record, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    @Test
    void anIdThatTheRegistryDoesNotKnowIsASentenceWithItsCause() {
        server.status = 404;

        assertThatThrownBy(() -> new RecordDecoder(server.client(null))
                        .decode(WireFormat.encode(GoldenRecords.all().get("dropped"), 9), FrameDropped.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageStartingWith("schema id 9: 404 from ")
                .hasCauseInstanceOf(RegistryException.class);
    }

    @Test
    void theSchemaOfAnotherRecordIsASentenceAndIsCheckedOnce() {
        answer(SingleObject.schema(FrameDropped.class));
        RecordDecoder decoder = new RecordDecoder(server.client(null));
        byte[] value = WireFormat.encode(GoldenRecords.all().get("dropped"), 9);

        for (int i = 0; i < 2; i++) {
            assertThatThrownBy(() -> decoder.decode(value, CameraFrame.class))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessageMatching("schema id 9: writer's schema: io.upliftstream.schemas.FrameDropped, which does"
                            + " not resolve: .* \\(expected: one that CameraFrame can be read from\\)");
        }
    }

    /** Bytes of such records would ask for more work, or a deeper stack, than they have bytes. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            textBlock =
                    """
                    {"type": "array", "items": "null"}                                            | is null outside
                    {"type": "map", "values": {"type": "fixed", "name": "F", "size": 0}}          | is fixed of no bytes
                    {"type": "array", "items": {"type": "record", "name": "R", "fields": []}}     | is a record of no fields
                    {"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]} | holds itself
                    """)
    void aSchemaThatMakesMuchOfNothingIsRefused(String field, String found) {
        assertRefused(field, found);
    }

    @Test
    void aSchemaThatGrowsAsItIsReadIsRefused() {
        StringBuilder doubling = new StringBuilder(
                "{\"type\": \"record\", \"name\": \"R0\", \"fields\": [" + "{\"name\": \"a\", \"type\": \"int\"}]}");
        for (int i = 1; i < 30; i++) {
            doubling = new StringBuilder(
                    "{\"type\": \"record\", \"name\": \"R%d\", \"fields\": [{\"name\": \"a\", \"type\": %s}, {\"name\": \"b\", \"type\": \"R%d\"}]}"
                            .formatted(i, doubling, i - 1));
        }
        assertRefused(doubling.toString(), "goes on and on");
        assertRefused("{\"type\": \"array\", \"items\":".repeat(100) + "\"int\"" + "}".repeat(100), "goes on and on");
    }

    private void assertRefused(String field, String found) {
        String published = SingleObject.schema(CameraFrame.class).toString();
        answer(new Schema.Parser()
                .parse(published.substring(0, published.length() - 2) + ", {\"name\": \"more\", \"type\": " + field
                        + "}]}"));
        assertThatThrownBy(() -> new RecordDecoder(server.client(null))
                        .decode(WireFormat.encode(GoldenRecords.all().get("camera-frame"), 9), CameraFrame.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageStartingWith("schema id 9: writer's schema: CameraFrame.more")
                .hasMessageContaining(found);
    }

    private static GenericRecord frameWithoutCamera(Schema schema) {
        GenericRecord frame = new GenericData.Record(schema);
        frame.put("sequence", 7L);
        frame.put("captureTimeMicros", 8L);
        frame.put(
                "captureClock",
                new GenericData.EnumSymbol(schema.getField("captureClock").schema(), "CAMERA"));
        frame.put("image", ByteBuffer.wrap(new byte[] {1, 2, 3}));
        return frame;
    }

    private void answer(Schema schema) {
        server.answer = new ObjectMapper()
                .createObjectNode()
                .put("schema", schema.toString())
                .toString();
    }
}
