package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.record.AbstractRecords;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.RecordBatch;
import org.junit.jupiter.api.Test;

class RecordEncoderTest {
    private static final String PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    private static final TraceContext TRACE = new TraceContext(PARENT, "vendor=1");

    private final RawFrame source = new RawFrame(
            "camera-frames",
            3,
            1007,
            TestFrames.RECORDED,
            null,
            SingleObject.encode(TestFrames.record("north", 7)),
            TRACE);
    private final Frame frame = parse(source);

    @Test
    void recordsSayWhatTheyAreAbout() throws FrameProblem {
        RecordHeader header = segmentation(messages()).getHeader();

        assertThat(header.getCameraId()).isEqualTo("north");
        assertThat(header.getSequence()).isEqualTo(7);
        assertThat(header.getCaptureTimeMicros()).isEqualTo(TestFrames.RECORDED * 1000 - 5_000);
        assertThat(header.getSource().getTopic()).isEqualTo("camera-frames");
        assertThat(header.getSource().getPartition()).isEqualTo(3);
        assertThat(header.getSource().getOffset()).isEqualTo(1007);
        assertThat(header.getSource().getTimestampMillis()).isEqualTo(TestFrames.RECORDED);
        assertThat(header.getTraceparent()).contains(PARENT);
        assertThat(header.getModel()).contains(TestingEngine.MODEL);
        assertThat(header.getTimings()).hasValueSatisfying(timings -> {
            assertThat(timings.getDecodeMicros()).isEqualTo(1000);
            assertThat(timings.getQueueMicros()).isEqualTo(2000);
            assertThat(timings.getBackboneMicros()).isEqualTo(3000);
            assertThat(timings.getUpsampleMicros()).isEqualTo(4000);
        });
    }

    @Test
    void geometryLeadsFromEveryHeadsGridToTheFrame() throws FrameProblem {
        List<OutputMessage> messages = messages();

        assertThat(segmentation(messages).getHeader().getGeometry())
                .contains(new Geometry(40, 20, 4, 2, 10.0, 10.0, 0.0, 0.0));
        assertThat(SingleObject.decode(messages.get(1).value(), FeatureRecord.class)
                        .getHeader()
                        .getGeometry())
                .contains(new Geometry(40, 20, 2, 1, 20.0, 20.0, 0.0, 0.0));
    }

    @Test
    void payloadsAreWhatTheModelSaid() throws FrameProblem {
        List<OutputMessage> messages = messages();

        SegmentationRecord segmentation = segmentation(messages);
        assertThat(MaskCodec.decode(segmentation.getMask())).containsExactly(0, 0, 1, 1, 2, 2, 2, 2);
        assertThat(segmentation.getClasses()).isEqualTo(3);
        assertThat(segmentation.getClassNames()).containsExactly("road", "car", "sky");
        assertThat(segmentation.getConfidence()).isEmpty();

        FeatureRecord features = SingleObject.decode(messages.get(1).value(), FeatureRecord.class);
        assertThat(TensorCodec.toFloats(features.getTensor())).containsExactly(1, 2, -1, 0);
        assertThat(features.getTensor().getShape()).containsExactly(2, 1, 2);
        FeatureRecord depth = SingleObject.decode(messages.get(2).value(), FeatureRecord.class);
        assertThat(depth.getUnit()).contains("m");
        assertThat(TensorCodec.toFloats(depth.getTensor())).containsExactly(3, 4);
    }

    @Test
    void settingsChooseEncodingsAndHeads() throws FrameProblem {
        List<OutputMessage> messages = messages(
                "uplift.output.segmentation.encoding", "png",
                "uplift.output.segmentation.confidence", "true",
                "uplift.output.features.topic", "none",
                "uplift.output.regression.topic", "range",
                "uplift.output.tensor.dtype", "int8",
                "uplift.output.tensor.compression", "none");

        assertThat(messages).extracting(OutputMessage::topic).containsExactly("segmentation", "range");
        assertThat(segmentation(messages).getMask().getEncoding()).isEqualTo(MaskEncoding.PNG);
        assertThat(segmentation(messages).getConfidence())
                .hasValueSatisfying(
                        confidence -> assertThat(MaskCodec.decode(confidence)).containsOnly(9));
        FeatureRecord range = SingleObject.decode(messages.get(1).value(), FeatureRecord.class);
        assertThat(range.getTensor().getDtype()).isEqualTo(TensorType.INT8);
        assertThat(range.getTensor().getCompression()).isEqualTo(Compression.NONE);
    }

    @Test
    void paddingOfALetterboxIsIgnored() throws FrameProblem {
        // a frame of 20 × 20 pixels in the middle of an input of 4 × 2
        FrameTransform letterbox = new FrameTransform(20, 20, 10, 10, -10, 0);
        List<OutputMessage> messages =
                encoder().result(frame, TestFrames.result(letterbox)).messages();

        assertThat(MaskCodec.decode(segmentation(messages).getMask())).containsExactly(-1, 0, 1, -1, -1, 2, 2, -1);
    }

    @Test
    void aResultAboveItsTopicsLimitIsRefusedWithBothNumbers() throws FrameProblem {
        int size = (int) messages().get(1).size();
        int slack = 8; // the record says how long its encoding took, and larger numbers take more bytes
        RecordEncoder encoder = encoder(Map.of("features", size - slack));

        FrameProblem problem =
                catchThrowableOfType(FrameProblem.class, () -> encoder.result(frame, TestFrames.result()));

        assertThat(problem.stage()).isEqualTo(Stage.PUBLISH);
        assertThat(problem.reason()).isEqualTo("RESULT_TOO_LARGE");
        assertThat(problem.getMessage())
                .matches("result of head features: \\d+ bytes \\(expected: <= %d, the limit of topic features\\)"
                        .formatted(size - slack));
        assertThat(encoder(Map.of("features", size + slack))
                        .result(frame, TestFrames.result())
                        .messages())
                .hasSize(3);
    }

    @Test
    void theSizeIsNoLessThanKafkas() throws FrameProblem {
        for (OutputMessage message : messages()) {
            ProducerRecord<byte[], byte[]> record = toRecord(message);
            int kafkas = AbstractRecords.estimateSizeInBytesUpperBound(
                    RecordBatch.CURRENT_MAGIC_VALUE,
                    CompressionType.NONE,
                    record.key(),
                    record.value(),
                    record.headers().toArray());
            assertThat(message.size()).isBetween((long) kafkas, kafkas + 128L);
        }
    }

    @Test
    void aFailureCarriesTheOriginalOnlyWhereItFits() {
        FrameProblem problem =
                FrameProblem.of(new FrameException(FrameException.Reason.CORRUPT_IMAGE, "x".repeat(5000)));
        OutputMessage whole =
                encoder().failure(source, frame, problem).messages().get(0);
        byte[] original = Objects.requireNonNull(source.value());
        FrameFailure failure = SingleObject.decode(whole.value(), FrameFailure.class);
        assertThat(failure.getOriginal()).contains(ByteBuffer.wrap(original));
        assertThat(failure.getMessage()).hasSize(2000);

        FrameFailure without = SingleObject.decode(
                encoder(Map.of("failures", (int) whole.size() - 1))
                        .failure(source, frame, problem)
                        .messages()
                        .get(0)
                        .value(),
                FrameFailure.class);
        assertThat(without.getOriginal()).isEmpty();
        assertThat(without.getOriginalLength()).isEqualTo(original.length);
        assertThat(without.getOriginalSha256())
                .isEqualTo(failure.getOriginalSha256())
                .hasSize(64);
        assertThat(without.getHeader().getSource().getOffset()).isEqualTo(1007);
    }

    /** From everything to nothing, each record fits its topic, and none is lost for want of a smaller one. */
    @Test
    void aRecordAboutARecordShrinksUntilItFits() throws FrameProblem {
        String cameraId = "é".repeat(1000);
        RawFrame raw = new RawFrame(
                "camera-frames",
                3,
                1007,
                TestFrames.RECORDED,
                BoundedText.key(cameraId.getBytes(StandardCharsets.UTF_8)),
                SingleObject.encode(TestFrames.record(cameraId, 7)),
                new TraceContext(PARENT, "v=" + "1".repeat(500)));
        Frame named = new FrameParser(InputFormat.AUTO, 10_000).parse(raw);
        FrameProblem problem =
                FrameProblem.of(new FrameException(FrameException.Reason.CORRUPT_IMAGE, "x".repeat(5000)));
        int whole = size(encoder().failure(raw, named, problem));
        int least = whole;
        for (int limit = whole; limit > 0; limit -= 16) {
            for (Frame frame : new Frame[] {named, null}) {
                int most = limit;
                RecordEncoder encoder = encoder(Map.of("failures", limit, "dropped", limit));
                for (FrameOutcome outcome : new FrameOutcome[] {
                    encoder.failure(raw, frame, problem),
                    encoder.dropped(DropRuns.Run.of(DropRuns.Reason.MAX_AGE, named, 1))
                }) {
                    assertThat(outcome.messages())
                            .allSatisfy(message -> assertThat(message.size()).isLessThanOrEqualTo(most));
                }
                for (OutputMessage message :
                        encoder.failure(raw, frame, problem).messages()) {
                    least = limit;
                    assertThat(SingleObject.decode(message.value(), FrameFailure.class)
                                    .getHeader()
                                    .getCameraId())
                            .matches("é+#[0-9a-f]{16}");
                }
            }
        }
        assertThat(least).isLessThan(1024);
        assertThat(encoder(Map.of("failures", 100)).failure(raw, named, problem).messages())
                .isEmpty();
    }

    private static int size(FrameOutcome outcome) {
        return (int) outcome.messages().get(0).size();
    }

    @Test
    void aFailureOfUnreadableBytesGoesUnderTheSourcesKey() {
        RawFrame unreadable = TestFrames.raw(5, "north", new byte[] {1, 2, 3});
        FrameProblem problem = new FrameProblem(Stage.PARSE, FrameProblem.Reason.NOT_A_FRAME, "value: 3 bytes");
        OutputMessage message =
                encoder().failure(unreadable, null, problem).messages().get(0);

        assertThat(message.key()).asString().isEqualTo("north");
        FrameFailure failure = SingleObject.decode(message.value(), FrameFailure.class);
        assertThat(failure.getHeader().getCameraId()).isEqualTo("north");
        assertThat(failure.getHeader().getSequence()).isEqualTo(-1);
        assertThat(failure.getOriginalSha256())
                .isEqualTo("039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81"); // sha256sum of 01 02 03
    }

    @Test
    void aFailureIsOneLineOfTheLogWithCameraSequencePositionAndTrace() {
        FrameProblem problem =
                FrameProblem.of(new FrameException(FrameException.Reason.CORRUPT_IMAGE, "image:\n ends early"));

        assertThat(encoder().failure(source, frame, problem))
                .hasToString("cameraId=north sequence=7 topic=camera-frames partition=3 offset=1007" + " traceparent="
                        + PARENT + " stage=decode reason=CORRUPT_IMAGE: image:  ends early");
    }

    @Test
    void theTraceTravelsInTheHeaders() throws FrameProblem {
        ProducerRecord<byte[], byte[]> record = toRecord(messages().get(0));

        assertThat(record.headers().lastHeader("traceparent").value())
                .asString()
                .isEqualTo(PARENT);
        assertThat(record.headers().lastHeader("tracestate").value()).asString().isEqualTo("vendor=1");
    }

    private List<OutputMessage> messages(String... settings) throws FrameProblem {
        return encoder(Map.of(), settings).result(frame, TestFrames.result()).messages();
    }

    private static RecordEncoder encoder(String... settings) {
        return encoder(Map.of(), settings);
    }

    private static RecordEncoder encoder(Map<String, Integer> limits, String... settings) {
        return new RecordEncoder(
                TestFrames.settings(settings),
                limits,
                Framing.SINGLE_OBJECT,
                TestingEngine.MODEL,
                List.of("road", "car", "sky"),
                null);
    }

    private static SegmentationRecord segmentation(List<OutputMessage> messages) {
        return SingleObject.decode(messages.get(0).value(), SegmentationRecord.class);
    }

    private static ProducerRecord<byte[], byte[]> toRecord(OutputMessage message) {
        return OutputMessage.ToRecord.record(message);
    }

    private static Frame parse(RawFrame source) {
        try {
            return new FrameParser(InputFormat.AUTO, 1000).parse(source);
        } catch (FrameProblem e) {
            throw new AssertionError(e);
        }
    }
}
