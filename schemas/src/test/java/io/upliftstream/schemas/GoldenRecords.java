package io.upliftstream.schemas;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.specific.SpecificRecord;

/** Small records of every kind, by name. python/tests/test_records.py states the same values in Python. */
final class GoldenRecords {
    private static final int WIDTH = 24;
    private static final int HEIGHT = 16;

    private GoldenRecords() {}

    static Map<String, SpecificRecord> all() {
        Map<String, SpecificRecord> records = new LinkedHashMap<>();
        records.put("camera-frame", cameraFrame());
        records.put("video-packet", videoPacket());
        records.put("segmentation-rle", segmentation(MaskEncoding.RLE));
        records.put("segmentation-png", segmentation(MaskEncoding.PNG));
        records.put("segmentation-zstd", segmentation(MaskEncoding.RAW_ZSTD));
        for (Compression compression : List.of(Compression.NONE, Compression.ZSTD)) {
            String suffix = compression == Compression.NONE ? "" : "-zstd";
            records.put(
                    "features-fp16" + suffix,
                    features(List.of(4, 4, 6), TensorLayout.CHW, TensorType.FLOAT16, false, compression));
            records.put(
                    "features-int8" + suffix,
                    features(List.of(4, 6, 4), TensorLayout.HWC, TensorType.INT8, true, compression));
        }
        records.put("depth", depth());
        records.put("failure", failure());
        records.put("dropped", dropped());
        records.put("model-command", modelCommand());
        records.put("model-answer", modelAnswer());
        return records;
    }

    /** Diagonal steps of classes, and padding on the right. */
    static byte[] labels() {
        byte[] labels = new byte[WIDTH * HEIGHT];
        for (int i = 0; i < labels.length; i++) {
            int x = i % WIDTH;
            int y = i / WIDTH;
            labels[i] = (byte) (x >= 22 ? 255 : (x / 5 + y / 3) % 19);
        }
        return labels;
    }

    private static byte[] confidence() {
        byte[] confidence = new byte[WIDTH * HEIGHT];
        for (int i = 0; i < confidence.length; i++) {
            confidence[i] = (byte) (10 * (i % WIDTH) + i / WIDTH);
        }
        return confidence;
    }

    private static CameraFrame cameraFrame() {
        return CameraFrame.newBuilder()
                .setCameraId("north-gate")
                .setSequence(41)
                .setCaptureTimeMicros(1_767_225_600_123_456L)
                .setCaptureClock(CaptureClock.CAMERA)
                .setImage(ByteBuffer.wrap(new byte[] {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF, (byte) 0xD9}))
                .setImageFormat("jpeg")
                .setTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .build();
    }

    private static VideoPacket videoPacket() {
        return VideoPacket.newBuilder()
                .setCameraId("north-gate")
                .setSequence(41)
                .setCaptureTimeMicros(1_767_225_600_123_456L)
                .setCaptureClock(CaptureClock.CAMERA)
                .setCodec(VideoCodec.H264)
                .setKeyFrame(true)
                .setParameterSets(ByteBuffer.wrap(new byte[] {0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x68}))
                .setData(ByteBuffer.wrap(new byte[] {0, 0, 0, 1, 0x65, (byte) 0x88}))
                .build();
    }

    private static RecordHeader.Builder header() {
        return RecordHeader.newBuilder()
                .setCameraId("north-gate")
                .setSequence(41)
                .setCaptureTimeMicros(1_767_225_600_123_456L)
                .setCaptureClock(CaptureClock.CAMERA)
                .setSource(new SourcePosition("camera-frames", 3, 1234L, 1_767_225_600_150L));
    }

    private static RecordHeader resultHeader(int width, int height) {
        return header().setTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .setModel(new ModelIdentity("street", "0.1.0", "ab".repeat(32), "cpu-fp32"))
                .setGeometry(new Geometry(1280, 720, width, height, 1320.0 / width, 720.0 / height, 0.0, 0.0))
                .setTimings(new Timings(1500L, 250L, 40_000L, 90_000L, 700L, 2))
                .build();
    }

    private static SegmentationRecord segmentation(MaskEncoding encoding) {
        return SegmentationRecord.newBuilder()
                .setHeader(resultHeader(WIDTH, HEIGHT))
                .setName("segmentation")
                .setClasses(19)
                .setClassNames(List.of("road", "sidewalk"))
                .setMask(MaskCodec.encode(encoding, labels(), WIDTH, HEIGHT))
                .setConfidence(
                        encoding == MaskEncoding.RAW_ZSTD
                                ? MaskCodec.encode(encoding, confidence(), WIDTH, HEIGHT)
                                : null)
                .build();
    }

    private static FeatureRecord features(
            List<Integer> shape, TensorLayout layout, TensorType dtype, boolean perChannel, Compression compression) {
        float[] values = new float[shape.get(0) * shape.get(1) * shape.get(2)];
        for (int i = 0; i < values.length; i++) {
            int channel = layout == TensorLayout.CHW ? i / 24 : i % 4;
            int cell = layout == TensorLayout.CHW ? i % 24 : i / 4;
            values[i] = (channel + 1) * (cell - 10) / 8f;
        }
        TensorFormat format =
                new TensorFormat(shape, layout, 4, "PCA to 4 of 128 channels", dtype, perChannel, compression, 256);
        return new FeatureRecord(resultHeader(6, 4), "features", null, TensorCodec.encode(values, format));
    }

    private static FeatureRecord depth() {
        float[] metres = new float[8 * 12];
        for (int i = 0; i < metres.length; i++) {
            metres[i] = i / 2f;
        }
        TensorFormat format = new TensorFormat(
                List.of(1, 8, 12), TensorLayout.CHW, 2, null, TensorType.FLOAT32, false, Compression.NONE, 256);
        return new FeatureRecord(resultHeader(12, 8), "depth", "m", TensorCodec.encode(metres, format));
    }

    private static FrameFailure failure() {
        return FrameFailure.newBuilder()
                .setHeader(header().build())
                .setStage("decode")
                .setReason("NOT_AN_IMAGE")
                .setMessage("image: starts with 6E6F (expected: JPEG or PNG)")
                .setOriginalLength(8)
                .setOriginalSha256("cd".repeat(32))
                .setOriginal(ByteBuffer.wrap("no image".getBytes(StandardCharsets.UTF_8)))
                .build();
    }

    private static FrameDropped dropped() {
        return new FrameDropped(header().build(), "MAX_AGE", 7L, 47L, 1246L, 812L);
    }

    private static ModelCommand modelCommand() {
        return ModelCommand.newBuilder()
                .setId("c-1")
                .setAction(ModelAction.ACTIVATE)
                .setBundle("s3://models/street-2")
                .setSha256("ef".repeat(32))
                .setFromCaptureTimeMicros(1_767_225_600_123_456L)
                .build();
    }

    private static ModelAnswer modelAnswer() {
        return ModelAnswer.newBuilder()
                .setCommandId("c-1")
                .setSubtask(0)
                .setSubtasks(2)
                .setOutcome(ModelOutcome.REFUSED)
                .setModel("street 0.1.0")
                .setSha256("ab".repeat(32))
                .setReason("bundle s3://models/street-2: manifest.json is missing")
                .setHeadsOff(List.of("depth"))
                .setTimeMicros(1_767_225_600_223_456L)
                .setLoadMillis(40L)
                .build();
    }
}
