package io.upliftstream.job;

import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.DType;
import io.upliftstream.model.DecodedFrame;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.Fit;
import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.InputSpec;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What every frame goes through around the model, each step alone on one thread. Frame, labels and features are those of
 * the street bundle's golden case: a frame of 1920 x 1080, a model of 448 x 448 with 32 channels at stride 4.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 4, time = 1)
@Measurement(iterations = 6, time = 1)
public class HotLoopsBenchmark {
    private static final Path GOLDEN = Path.of("..", "model", "bundles", "street", "golden");
    private static final int SIDE = 448;
    private static final int CHANNELS = 32;
    private static final int STRIDE = 4;
    private static final HeadSpec SEGMENTATION =
            new HeadSpec("segmentation", HeadKind.SEGMENTATION, 19, SIDE, SIDE, 1, DType.UINT8, null, false);
    private static final HeadSpec FEATURES = new HeadSpec(
            "features", HeadKind.FEATURES, CHANNELS, SIDE / STRIDE, SIDE / STRIDE, STRIDE, DType.FLOAT16, null, false);
    private static final FrameTransform STRETCHED = new FrameTransform(1920, 1080, 1920.0 / SIDE, 1080.0 / SIDE, 0, 0);
    private static final FrameTransform LETTERBOXED =
            new FrameTransform(1920, 1080, 1920.0 / SIDE, 1920.0 / SIDE, 0, -420);

    private final byte[] jpeg = jpeg();
    private final byte[] truncatedJpeg = Arrays.copyOf(jpeg, jpeg.length - 2);
    private final FrameDecoder decoder =
            new FrameDecoder(new InputSpec(SIDE, SIDE, Fit.STRETCH, 1), FrameDecoder.DEFAULT_MAX_PIXELS);

    private final byte[] labels = golden("segmentation.bin", 1, 192, 320, SIDE, SIDE);
    private final Mask rle = MaskCodec.encode(MaskEncoding.RLE, labels, SIDE, SIDE);
    private final Mask png = MaskCodec.encode(MaskEncoding.PNG, labels, SIDE, SIDE);
    private final Mask zstd = MaskCodec.encode(MaskEncoding.RAW_ZSTD, labels, SIDE, SIDE);

    private final ByteBuffer features = ByteBuffer.wrap(
            golden("features.bin", CHANNELS, 48, 2 * 80, SIDE / STRIDE, 2 * SIDE / STRIDE)); // two bytes a number
    private final TensorFormat format = new TensorFormat(
            List.of(CHANNELS, SIDE / STRIDE, SIDE / STRIDE),
            TensorLayout.CHW,
            STRIDE,
            null,
            TensorType.INT8,
            true,
            Compression.ZSTD,
            256);
    private final Tensor tensor = TensorCodec.encode(features, TensorType.FLOAT16, format);

    private final CameraFrame record = CameraFrame.newBuilder()
            .setCameraId("camera")
            .setSequence(0)
            .setCaptureTimeMicros(0)
            .setCaptureClock(CaptureClock.CAMERA)
            .setImage(ByteBuffer.wrap(jpeg))
            .build();
    private final RawFrame source = TestFrames.raw(0, "camera", SingleObject.encode(record));
    private final FrameParser parser = new FrameParser(InputFormat.AUTO, 1 << 24);
    private final Frame frame = new Frame("camera", 0, 0, CaptureClock.CAMERA, jpeg, TraceContext.NONE, source);
    private final RecordEncoder encoder = new RecordEncoder(
            TestFrames.settings("uplift.output.tensor.dtype", "int8"),
            Map.of(),
            Framing.SINGLE_OBJECT,
            TestingEngine.MODEL,
            Collections.nCopies(19, "road"),
            null);
    private final DenseResult stretchedLabels = result(SEGMENTATION, ByteBuffer.wrap(labels), STRETCHED);
    private final DenseResult letterboxedLabels = result(SEGMENTATION, ByteBuffer.wrap(labels), LETTERBOXED);
    private final DenseResult featuresOfAFrame = result(FEATURES, features, STRETCHED);

    private final FairQueue waiting = new FairQueue();
    private final Frame[] cameras = IntStream.range(0, FairQueue.MAX_CAMERAS)
            .mapToObj(i -> new Frame("camera-" + i, 0, 0, CaptureClock.CAMERA, jpeg, TraceContext.NONE, source))
            .toArray(Frame[]::new);
    private int next;

    /** A frame of one of a thousand cameras waits while no other does, and has its turn. */
    @Benchmark
    public Object takeTurn() {
        waiting.add(cameras[next++ % cameras.length]);
        return waiting.next(camera -> true, young -> true, old -> {});
    }

    @Benchmark
    public Object parseFrame() throws FrameProblem {
        return parser.parse(source);
    }

    @Benchmark
    public Object decodeJpeg() throws FrameException {
        DecodedFrame decoded = decoder.decode(jpeg);
        decoder.recycle(decoded);
        return decoded;
    }

    /** Reads the header, looks for the end of the JPEG and does not find it. */
    @Benchmark
    public Object refuseTruncatedJpeg() {
        try {
            return decoder.decode(truncatedJpeg);
        } catch (FrameException e) {
            return e;
        }
    }

    @Benchmark
    public Object encodeRle() {
        return MaskCodec.encode(MaskEncoding.RLE, labels, SIDE, SIDE);
    }

    @Benchmark
    public Object decodeRle() {
        return MaskCodec.decode(rle);
    }

    @Benchmark
    public Object encodePng() {
        return MaskCodec.encode(MaskEncoding.PNG, labels, SIDE, SIDE);
    }

    @Benchmark
    public Object decodePng() {
        return MaskCodec.decode(png);
    }

    @Benchmark
    public Object encodeRawZstd() {
        return MaskCodec.encode(MaskEncoding.RAW_ZSTD, labels, SIDE, SIDE);
    }

    @Benchmark
    public Object decodeRawZstd() {
        return MaskCodec.decode(zstd);
    }

    @Benchmark
    public Object encodeTensor() {
        return TensorCodec.encode(features, TensorType.FLOAT16, format);
    }

    @Benchmark
    public Object decodeTensor() {
        return TensorCodec.toFloats(tensor);
    }

    /** Encodes a frame as a camera does. */
    @Benchmark
    public Object encodeRecord() {
        return SingleObject.encode(record);
    }

    @Benchmark
    public Object labelsToRecord() throws FrameProblem {
        return encoder.result(frame, stretchedLabels);
    }

    @Benchmark
    public Object letterboxedLabelsToRecord() throws FrameProblem {
        return encoder.result(frame, letterboxedLabels);
    }

    @Benchmark
    public Object featuresToRecord() throws FrameProblem {
        return encoder.result(frame, featuresOfAFrame);
    }

    private static DenseResult result(HeadSpec head, ByteBuffer data, FrameTransform transform) {
        return new DenseResult(
                new DenseOutput(List.of(new HeadOutput(head, data, null))), transform, new StageTimings(0, 0, 0, 0, 1));
    }

    /** The first frame, enlarged. */
    private static byte[] jpeg() {
        byte[] rgb = golden("frames.bin", 1, 192, 3 * 320, 192, 3 * 320);
        BufferedImage small = new BufferedImage(320, 192, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < rgb.length; i += 3) {
            small.setRGB(
                    i / 3 % 320, i / 3 / 320, (rgb[i] & 0xff) << 16 | (rgb[i + 1] & 0xff) << 8 | (rgb[i + 2] & 0xff));
        }
        BufferedImage large = new BufferedImage(1920, 1080, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = large.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BICUBIC);
        graphics.drawImage(small, 0, 0, 1920, 1080, null);
        graphics.dispose();
        ByteArrayOutputStream jpeg = new ByteArrayOutputStream();
        try {
            ImageIO.write(large, "jpeg", jpeg);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return jpeg.toByteArray();
    }

    /** Planes of rows, of the first frame, cut to another size or repeated until they fill it. */
    private static byte[] golden(String name, int planes, int rows, int rowBytes, int wantedRows, int wantedRowBytes) {
        byte[] from;
        try {
            from = Files.readAllBytes(GOLDEN.resolve(name));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        byte[] filled = new byte[planes * wantedRows * wantedRowBytes];
        for (int row = 0; row < planes * wantedRows; row++) {
            int given = row / wantedRows * rows + row % wantedRows % rows;
            for (int x = 0; x < wantedRowBytes; x += rowBytes) {
                System.arraycopy(
                        from,
                        given * rowBytes,
                        filled,
                        row * wantedRowBytes + x,
                        Math.min(rowBytes, wantedRowBytes - x));
            }
        }
        return filled;
    }
}
