package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;
import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class FrameParserTest {
    private static final FrameParser PARSER = new FrameParser(InputFormat.AUTO, 1000);

    @Test
    void readsCameraFrames() throws FrameProblem {
        Frame frame = PARSER.parse(TestFrames.cameraFrame("north", 7));

        assertThat(frame.cameraId()).isEqualTo("north");
        assertThat(frame.sequence()).isEqualTo(7);
        assertThat(frame.captureTimeMicros()).isEqualTo(TestFrames.RECORDED * 1000 - 5_000);
        assertThat(frame.captureClock()).isEqualTo(CaptureClock.CAMERA);
        assertThat(frame.image()).isEqualTo(TestFrames.jpeg((byte) 7));
    }

    @Test
    void readsBareImagesWithTheRecordsOwnMetadata() throws FrameProblem {
        byte[] png = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', 1, 2};
        for (byte[] image : new byte[][] {TestFrames.jpeg((byte) 1), png}) {
            Frame frame = PARSER.parse(TestFrames.raw(42, "hof süd", image));

            assertThat(frame.cameraId()).isEqualTo("hof süd");
            assertThat(frame.sequence()).isEqualTo(42);
            assertThat(frame.captureTimeMicros()).isEqualTo(TestFrames.RECORDED * 1000);
            assertThat(frame.captureClock()).isEqualTo(CaptureClock.KAFKA);
            assertThat(frame.image()).isEqualTo(image);
        }
    }

    @Test
    void takesTheTraceFromTheHeadersElseFromTheRecord() throws FrameProblem {
        byte[] value = SingleObject.encode(io.upliftstream.schemas.CameraFrame.newBuilder(TestFrames.record("north", 1))
                .setTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .setTracestate("a=b")
                .build());

        assertThat(PARSER.parse(TestFrames.raw(1, null, value)).trace())
                .isEqualTo(new TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b"));

        TraceContext headers = new TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", null);
        RawFrame traced = new RawFrame("camera-frames", 0, 1, 0, null, value, headers);
        assertThat(PARSER.parse(traced).trace()).isEqualTo(headers);
    }

    private static final FrameParser PARSER_OF_LARGE = new FrameParser(InputFormat.AUTO, 16 << 20);

    @Test
    void aCameraIdIsCutAndStaysTellableApart() throws FrameProblem {
        String common = "é".repeat(5_000_000);
        String first = cameraId(SingleObject.encode(TestFrames.record(common + "1", 1)), "north");
        String second = cameraId(SingleObject.encode(TestFrames.record(common + "2", 1)), "north");
        assertThat(first)
                .hasSize(256)
                .startsWith("ééé")
                .matches(".*#[0-9a-f]{16}")
                .isNotEqualTo(second);
        assertThat(cameraId(TestFrames.jpeg((byte) 1), common + "1"))
                .as("as a key")
                .isEqualTo(first);
        assertThat(cameraId(TestFrames.jpeg((byte) 1), first)).as("cut already").isEqualTo(first);
        String longest = "x".repeat(256);
        assertThat(cameraId(TestFrames.jpeg((byte) 1), longest)).isEqualTo(longest);
        String pairs = "\uD83D\uDE00".repeat(200);
        assertThat(cameraId(TestFrames.jpeg((byte) 1), pairs))
                .as("no half of a pair")
                .startsWith("\uD83D\uDE00".repeat(119) + "#");
    }

    private static String cameraId(byte[] value, String key) throws FrameProblem {
        return PARSER_OF_LARGE.parse(TestFrames.raw(1, key, value)).cameraId();
    }

    @Test
    void aRecordIsCutWhenItIsRead() throws Exception {
        ConsumerRecord<byte[], byte[]> record =
                new ConsumerRecord<>("camera-frames", 0, 1, new byte[9_000_000], TestFrames.jpeg());
        for (int i = 0; i < 10_000; i++) {
            record.headers().add("noise-" + i, new byte[10]);
        }
        record.headers().add("traceparent", new byte[9_000_000]).add("tracestate", null);
        List<RawFrame> read = new ArrayList<>();
        new RawFrame.Deserializer().deserialize(record, new ListCollector<>(read));

        assertThat(read.get(0).key()).hasSizeLessThanOrEqualTo(256);
        assertThat(read.get(0).trace()).isEqualTo(TraceContext.NONE);

        byte[] noText = new byte[9_000_000];
        Arrays.fill(noText, (byte) 0xFF);
        assertThat(BoundedText.key(noText)).hasSize(256).isNotEqualTo(BoundedText.key(Arrays.copyOf(noText, 300)));
        assertThat(BoundedText.key(null)).isNull();
    }

    @Test
    void aTraceContextIsWhatTheSpecificationSaysOrNone() {
        String parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assertThat(new TraceContext("z".repeat(9_000_000), "a=b")).isEqualTo(TraceContext.NONE);
        assertThat(new TraceContext(parent.toUpperCase(Locale.ROOT), null)).isEqualTo(TraceContext.NONE);
        assertThat(new TraceContext(parent.replace("0af", "\n00"), null)).isEqualTo(TraceContext.NONE);
        assertThat(new TraceContext(null, "a=b")).isEqualTo(TraceContext.NONE);
        assertThat(new TraceContext(parent, "a=\n").tracestate()).isNull();
        assertThat(new TraceContext(parent, "a=" + "b".repeat(600)).tracestate())
                .isNull();
        assertThat(new TraceContext(parent, "a=1,".repeat(200) + "b=2").tracestate())
                .hasSize(511)
                .endsWith(",a=1");
        assertThat(new TraceContext(parent, "a=1,b=2")).isEqualTo(new TraceContext(parent, "a=1,b=2"));
    }

    static Stream<Arguments> hostile() {
        byte[] frame = SingleObject.encode(TestFrames.record("north", 1));
        byte[] foreign = frame.clone();
        Arrays.fill(foreign, 2, 10, (byte) 0x77);
        byte[] sister = SingleObject.encode(FrameDropped.newBuilder()
                .setHeader(RecordHeader.newBuilder()
                        .setCameraId("north")
                        .setSequence(1)
                        .setCaptureTimeMicros(1)
                        .setCaptureClock(CaptureClock.KAFKA)
                        .setSource(new SourcePosition("t", 0, 0L, 0L))
                        .build())
                .setReason("MAX_AGE")
                .setCount(1)
                .setLastSequence(1)
                .setLastOffset(1)
                .setAgeMillis(1)
                .build());
        byte[] lying = Arrays.copyOf(frame, 11);
        lying[10] = 0x7E; // a camera id of 63 bytes, says its length
        byte[] random = new byte[400];
        new Random(1).nextBytes(random);
        return Stream.of(
                arguments("null value", "north", null, "EMPTY_VALUE"),
                arguments("empty value", "north", new byte[0], "EMPTY_VALUE"),
                arguments("random bytes", "north", random, "NOT_A_FRAME"),
                arguments("one byte", "north", new byte[] {(byte) 0xC3}, "NOT_A_FRAME"),
                arguments("text", "north", "{\"frame\": 1}".getBytes(StandardCharsets.UTF_8), "NOT_A_FRAME"),
                arguments("only the marker", "north", new byte[] {(byte) 0xC3, 1}, "MALFORMED_RECORD"),
                arguments("foreign schema", "north", foreign, "MALFORMED_RECORD"),
                arguments("another record of ours", "north", sister, "MALFORMED_RECORD"),
                arguments("truncated record", "north", Arrays.copyOf(frame, frame.length - 5), "MALFORMED_RECORD"),
                arguments(
                        "bytes after the record", "north", Arrays.copyOf(frame, frame.length + 1), "MALFORMED_RECORD"),
                arguments("length beyond the end", "north", lying, "MALFORMED_RECORD"),
                arguments(
                        "no camera id in the record",
                        "north",
                        SingleObject.encode(TestFrames.record("", 1)),
                        "MISSING_CAMERA_ID"),
                arguments("image without a key", null, TestFrames.jpeg((byte) 1), "MISSING_CAMERA_ID"),
                arguments("image with a blank key", " ", TestFrames.jpeg((byte) 1), "MISSING_CAMERA_ID"),
                arguments("too large", "north", Arrays.copyOf(TestFrames.jpeg(), 1001), "VALUE_TOO_LARGE"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("hostile")
    void saysWhyARecordHoldsNoFrame(String name, @Nullable String key, byte @Nullable [] value, String reason) {
        FrameProblem problem =
                catchThrowableOfType(FrameProblem.class, () -> PARSER.parse(TestFrames.raw(1, key, value)));

        assertThat(problem.stage()).isEqualTo(Stage.PARSE);
        assertThat(problem.reason()).isEqualTo(reason);
        assertThat(problem).message().isNotBlank().hasLineCount(1);
    }

    @Test
    void aKeyThatIsNoTextIsNoCameraId() {
        RawFrame frame = new RawFrame(
                "camera-frames", 0, 1, 0, new byte[] {(byte) 0xFF, (byte) 0xFE}, TestFrames.jpeg(), TraceContext.NONE);

        assertThat(catchThrowableOfType(FrameProblem.class, () -> PARSER.parse(frame))
                        .reason())
                .isEqualTo("MISSING_CAMERA_ID");
    }

    @Test
    void anythingAtAllIsAFrameOrAProblem() {
        Random random = new Random(2);
        byte[] frame = SingleObject.encode(TestFrames.record("north", 1));
        for (int i = 0; i < 2000; i++) {
            byte[] value = Arrays.copyOf(frame, random.nextInt(frame.length + 10));
            for (int flips = random.nextInt(4); flips > 0 && value.length > 0; flips--) {
                value[random.nextInt(value.length)] = (byte) random.nextInt();
            }
            try {
                assertThat(PARSER.parse(TestFrames.raw(i, "north", value)).cameraId())
                        .isNotBlank();
            } catch (FrameProblem problem) {
                assertThat(problem.reason()).isNotBlank();
            }
        }
    }

    @Test
    void aDeclaredFormatRefusesTheOther() {
        FrameParser avro = new FrameParser(InputFormat.AVRO, 1000);
        FrameParser image = new FrameParser(InputFormat.IMAGE, 1000);

        assertThat(catchThrowableOfType(
                        FrameProblem.class, () -> avro.parse(TestFrames.raw(1, "north", TestFrames.jpeg((byte) 1)))))
                .hasMessage("value: a bare image (expected: an Avro CameraFrame)");
        assertThat(catchThrowableOfType(FrameProblem.class, () -> image.parse(TestFrames.cameraFrame("north", 1))))
                .hasMessage("value: an Avro record (expected: a JPEG or a PNG)");
    }
}
