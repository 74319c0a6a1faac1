package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.Random;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.avro.specific.SpecificRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SingleObjectTest {
    static Iterable<SpecificRecord> records() {
        return GoldenRecords.all().values();
    }

    @ParameterizedTest
    @MethodSource("records")
    void whatIsEncodedComesBack(SpecificRecord record) {
        byte[] bytes = SingleObject.encode(record);

        assertThat(bytes).startsWith(0xC3, 0x01);
        assertThat(SingleObject.decode(bytes, record.getClass())).isEqualTo(record);
    }

    /** Avro's guard against foreign classes must not stand in the way of builders, copies and Avro's own decoder. */
    @Test
    void avroTrustsTheRecords() throws IOException {
        SegmentationRecord record = (SegmentationRecord) GoldenRecords.all().get("segmentation-rle");

        assertThat(SegmentationRecord.newBuilder(record).build()).isEqualTo(record);
        assertThat(SegmentationRecord.fromByteBuffer(ByteBuffer.wrap(SingleObject.encode(record))))
                .isEqualTo(record);
    }

    @ParameterizedTest
    @MethodSource("records")
    void aRecordThatIsNotWholeOrNotAloneIsRefused(SpecificRecord record) {
        byte[] bytes = SingleObject.encode(record);
        for (int length = 0; length < bytes.length; length += length < 200 ? 1 : 37) {
            byte[] part = Arrays.copyOf(bytes, length);
            assertThatThrownBy(() -> SingleObject.decode(part, record.getClass()))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessageStartingWith(record.getClass().getSimpleName() + ": " + length + " bytes that ");
        }
        byte[] more = Arrays.copyOf(bytes, bytes.length + 1);
        assertThatThrownBy(() -> SingleObject.decode(more, record.getClass()))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("expected: no bytes after the record");
    }

    @ParameterizedTest
    @MethodSource("records")
    void damagedBytesAreRefusedOrARecordButNothingElse(SpecificRecord record) {
        Random random = new Random(5);
        byte[] bytes = SingleObject.encode(record);
        for (int i = 0; i < 3000; i++) {
            byte[] damaged = bytes.clone();
            for (int flips = random.nextInt(4); flips >= 0; flips--) {
                damaged[random.nextInt(Math.min(300, bytes.length))] ^= (byte) (1 << random.nextInt(8));
            }
            try {
                assertThat(SingleObject.decode(damaged, record.getClass())).isNotNull();
            } catch (MalformedRecordException e) {
                assertThat(e.getMessage()).isNotEmpty();
            }
        }
    }

    @Test
    void aLengthBeyondTheBytesIsNotAllocated() throws IOException {
        CameraFrame frame = (CameraFrame) GoldenRecords.all().get("camera-frame");
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(SingleObject.encode(frame), 0, 10);
        BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(bytes, null);
        encoder.writeLong(Integer.MAX_VALUE - 100);

        assertThatThrownBy(() -> SingleObject.decode(bytes.toByteArray(), CameraFrame.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("only 0 bytes are available");
    }

    /** Strings, bytes and arrays whose length is not what is left, or below zero, where the record would have them. */
    @ParameterizedTest
    @ValueSource(longs = {Integer.MAX_VALUE - 100, Integer.MAX_VALUE, 1L << 40, Long.MAX_VALUE, -3, Long.MIN_VALUE})
    void noLengthIsAllocatedThatIsNotThere(long length) throws IOException {
        for (SpecificRecord record : records()) {
            byte[] whole = SingleObject.encode(record);
            for (int at = 10; at < Math.min(whole.length, 250); at++) {
                ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                bytes.write(whole, 0, at);
                EncoderFactory.get().directBinaryEncoder(bytes, null).writeLong(length);
                bytes.write(whole, at, whole.length - at);
                long before = Allocated.bytes();
                try {
                    SingleObject.decode(bytes.toByteArray(), record.getClass());
                } catch (MalformedRecordException e) {
                    assertThat(e).hasMessageContaining("expected");
                }
                assertThat(Allocated.bytes() - before).as("at %d", at).isLessThan(1 << 20);
            }
        }
    }

    /** Each element of an array is at least a byte of the record, so the record's length bounds what it takes. */
    @Test
    void anArrayTakesMemoryAsItsBytesDo() throws IOException {
        int count = 1 << 20;
        FeatureRecord depth = (FeatureRecord) GoldenRecords.all().get("depth");
        Tensor many = Tensor.newBuilder(depth.getTensor())
                .setShape(Collections.nCopies(count, 5000))
                .build();
        byte[] bytes = SingleObject.encode(
                FeatureRecord.newBuilder(depth).setTensor(many).build());
        long before = Allocated.bytes();
        FeatureRecord read = SingleObject.decode(bytes, FeatureRecord.class);
        assertThat(Allocated.bytes() - before).isLessThan(40L * bytes.length);
        assertThatThrownBy(() -> TensorCodec.decode(read.getTensor())).isInstanceOf(MalformedRecordException.class);
    }

    @Test
    void aTombstoneIsRefused() {
        assertThatThrownBy(() -> SingleObject.decode(null, CameraFrame.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("CameraFrame: no bytes (expected: c301 and a schema fingerprint)");
    }

    @Test
    void bytesThatAreNoSingleObjectAreRefused() {
        assertThatThrownBy(() -> SingleObject.decode(new byte[0], CameraFrame.class))
                .hasMessage("CameraFrame: 0 bytes that start with nothing (expected: c301 and a schema fingerprint)");
        assertThatThrownBy(() -> SingleObject.decode(new byte[] {(byte) 0xFF, (byte) 0xD8, 1}, CameraFrame.class))
                .hasMessage("CameraFrame: 3 bytes that start with ffd8 (expected: c301 and a schema fingerprint)");
    }

    @Test
    void aForeignSchemaIsRefusedByItsFingerprint() throws IOException {
        Schema foreign =
                SchemaBuilder.record("Foreign").fields().requiredString("a").endRecord();
        byte[] bytes = new BinaryMessageEncoder<>(GenericData.get(), foreign)
                .encode(new GenericRecordBuilder(foreign).set("a", "b").build())
                .array();

        assertThatThrownBy(() -> SingleObject.decode(bytes, CameraFrame.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageMatching(
                        "schema fingerprint: [0-9a-f]{16} \\(expected: a published version of CameraFrame\\)");
    }

    @Test
    void aRecordOfAnotherKindIsNamed() {
        byte[] bytes = SingleObject.encode(GoldenRecords.all().get("dropped"));

        assertThatThrownBy(() -> SingleObject.decode(bytes, SegmentationRecord.class))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageMatching("schema fingerprint: [0-9a-f]{16}, a FrameDropped"
                        + " \\(expected: a published version of SegmentationRecord\\)");
    }

    @Test
    void aPartOfARecordIsNotARecord() {
        assertThatThrownBy(() -> SingleObject.encode(new SourcePosition("t", 0, 0L, 0L)))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
