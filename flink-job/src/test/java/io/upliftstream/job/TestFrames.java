package io.upliftstream.job;

import io.upliftstream.model.DType;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Frames, settings and model answers for tests. */
final class TestFrames {
    /** Milliseconds since 1970 at which every test frame was recorded. */
    static final long RECORDED = 1_700_000_000_000L;

    static final HeadSpec SEGMENTATION =
            new HeadSpec("segmentation", HeadKind.SEGMENTATION, 3, 4, 2, 1, DType.UINT8, null, true);
    static final HeadSpec FEATURES =
            new HeadSpec("features", HeadKind.FEATURES, 2, 2, 1, 2, DType.FLOAT16, null, false);
    static final HeadSpec DEPTH = new HeadSpec("depth", HeadKind.REGRESSION, 1, 2, 1, 2, DType.FLOAT16, "m", false);

    /** A frame of 40 × 20 pixels, stretched to an input of 4 × 2. */
    static final FrameTransform STRETCHED = new FrameTransform(40, 20, 10, 10, 0, 0);

    private TestFrames() {}

    static JobSettings settings(String... keysAndValues) {
        Map<String, String> values = new HashMap<>();
        values.put("uplift.model.bundle", "bundle");
        values.put("uplift.quarantine.restarts", "0"); // whose notes would outlive the test
        for (int i = 0; i < keysAndValues.length; i += 2) {
            values.put(keysAndValues[i], keysAndValues[i + 1]);
        }
        return JobSettings.of(values);
    }

    static RawFrame raw(long offset, @Nullable String key, byte @Nullable [] value) {
        return new RawFrame(
                "camera-frames",
                3,
                offset,
                RECORDED,
                key == null ? null : key.getBytes(StandardCharsets.UTF_8),
                value,
                TraceContext.NONE);
    }

    /** A CameraFrame whose image is a JPEG's first bytes and the sequence. */
    static RawFrame cameraFrame(String cameraId, long sequence) {
        return raw(1000 + sequence, cameraId, SingleObject.encode(record(cameraId, sequence)));
    }

    static CameraFrame record(String cameraId, long sequence) {
        return CameraFrame.newBuilder()
                .setCameraId(cameraId)
                .setSequence(sequence)
                .setCaptureTimeMicros(RECORDED * 1000 - 5_000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setImage(ByteBuffer.wrap(jpeg((byte) sequence)))
                .build();
    }

    static byte[] jpeg(byte... content) {
        return ByteBuffer.allocate(3 + content.length)
                .put(new byte[] {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF})
                .put(content)
                .array();
    }

    /** Labels 0 0 1 1 / 2 2 2 2, features and depth of small numbers. */
    static DenseResult result() {
        return result(STRETCHED);
    }

    /** That of a frame which waited so long for its turn. */
    static DenseResult waited(long millis) {
        DenseResult result = result();
        return new DenseResult(
                result.output(),
                result.transform(),
                new StageTimings(0, TimeUnit.MILLISECONDS.toNanos(millis), 0, 0, 1));
    }

    static DenseResult result(FrameTransform transform) {
        return new DenseResult(
                new DenseOutput(List.of(
                        new HeadOutput(
                                SEGMENTATION,
                                ByteBuffer.wrap(new byte[] {0, 0, 1, 1, 2, 2, 2, 2}),
                                ByteBuffer.wrap(new byte[] {9, 9, 9, 9, 9, 9, 9, 9})),
                        new HeadOutput(FEATURES, halves(0x3C00, 0x4000, 0xBC00, 0x0000), null), // 1 2 -1 0
                        new HeadOutput(DEPTH, halves(0x4200, 0x4400), null))), // 3 4
                transform,
                new StageTimings(1_000_000, 2_000_000, 3_000_000, 4_000_000, 1));
    }

    private static ByteBuffer halves(int... bits) {
        ByteBuffer buffer = ByteBuffer.allocate(2 * bits.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int half : bits) {
            buffer.putShort((short) half);
        }
        return buffer.flip();
    }
}
