package io.upliftstream.tools.bench;

import io.upliftstream.job.StartupException;
import io.upliftstream.model.DecodedFrame;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.Fit;
import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.InputSpec;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import io.upliftstream.schemas.WireFormat;
import io.upliftstream.tools.bench.CodecReport.Decoding;
import io.upliftstream.tools.bench.CodecReport.Encoding;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import javax.imageio.ImageIO;

/** What reading frames and writing masks and features costs, beside ImageIO, and what it does to the features. */
public final class CodecBench {
    private static final int WARM_UP = 20;
    private static final List<MaskEncoding> MASKS = List.of(MaskEncoding.RLE, MaskEncoding.PNG, MaskEncoding.RAW_ZSTD);
    /** Levels of INT8: all, and as many as compress well. */
    private static final int[] LEVELS = {256, 32};

    /**
     * What to measure.
     *
     * @param source of the frames, as {@link CameraSource} has it
     * @param format of frames that are not JPEG yet
     * @param frames to take from the source
     * @param width of the model's input and of the masks, in pixels
     * @param height of the model's input and of the masks, in pixels
     * @param rounds that are timed
     * @param service whose outputs are encoded
     */
    public record Options(
            String source, JpegFormat format, int frames, int width, int height, int rounds, ServiceOptions service) {}

    private CodecBench() {}

    /** Measures, and says on the way what it does. */
    public static CodecReport run(Options options, Consumer<String> say) throws Exception {
        List<byte[]> images = images(options);
        List<DenseOutput> outputs = new ArrayList<>();
        String model;
        try (DenseService service = DenseService.acquire(options.service())) {
            model = service.bundle().toString();
            say.accept(service.describe());
            for (byte[] image : images) {
                outputs.add(service.submit(image).get().output());
            }
        }
        say.accept("decoding " + images.size() + " frames");
        Decoding decoding = decoding(options, images);
        say.accept("encoding what the model made of them");
        List<Encoding> encodings = new ArrayList<>(masks(options, outputs));
        encodings.addAll(features(options, outputs));
        encodings.addAll(framings(options, outputs));
        return new CodecReport(
                Runtime.getRuntime().availableProcessors(),
                options.source(),
                model,
                images.size(),
                decoding,
                encodings);
    }

    private static List<byte[]> images(Options options) throws IOException {
        List<byte[]> images = new ArrayList<>();
        try (Camera camera = CameraSource.parse(options.source()).open(options.format())) {
            for (Shot shot = camera.next();
                    shot != null && images.size() < options.frames();
                    shot = images.size() < options.frames() ? camera.next() : null) {
                images.add(shot.image());
            }
        } catch (IOException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
        if (images.isEmpty()) {
            throw new IOException(options.source() + ": no frames (expected: at least one)");
        }
        return images;
    }

    private static Decoding decoding(Options options, List<byte[]> images) throws Exception {
        ImageIO.setUseCache(false);
        FrameDecoder decoder = new FrameDecoder(
                new InputSpec(options.width(), options.height(), Fit.STRETCH, 1), FrameDecoder.DEFAULT_MAX_PIXELS);
        double[] millis = Turns.medianMillis(
                WARM_UP,
                options.rounds(),
                () -> all(images, image -> {
                    DecodedFrame frame = decoder.decode(image);
                    decoder.recycle(frame);
                    return frame;
                }),
                () -> all(images, image -> withImageIo(image, options.width(), options.height())));
        double own = millis[0] / images.size();
        double imageIo = millis[1] / images.size();
        BufferedImage first = Images.decode(images.get(0));
        return new Decoding(
                first.getWidth() + "x" + first.getHeight(),
                options.width() + "x" + options.height(),
                kilobytes(images.stream().mapToLong(image -> image.length).sum(), images.size()),
                LoadReport.round(own),
                LoadReport.round(imageIo),
                LoadReport.round(imageIo / own));
    }

    /** What anybody would write first. */
    private static BufferedImage withImageIo(byte[] image, int width, int height) throws IOException {
        BufferedImage small = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
        Graphics2D graphics = small.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
        graphics.drawImage(ImageIO.read(new ByteArrayInputStream(image)), 0, 0, width, height, null);
        graphics.dispose();
        return small;
    }

    /** Whole records around the labels, in both framings. */
    private static List<Encoding> framings(Options options, List<DenseOutput> outputs) throws Exception {
        List<SegmentationRecord> records = new ArrayList<>();
        for (HeadOutput head : heads(outputs, HeadKind.SEGMENTATION)) {
            byte[] labels = repeat(head, options.width(), options.height());
            records.add(PipelineBench.record(
                    MaskCodec.encode(MaskEncoding.RLE, labels, options.width(), options.height()), 0));
        }
        if (records.isEmpty()) {
            return List.of();
        }
        List<byte[]> single = records.stream().map(SingleObject::encode).toList();
        List<byte[]> framed =
                records.stream().map(record -> WireFormat.encode(record, 1)).toList();
        RecordDecoder decoder = new RecordDecoder();
        double[] millis = Turns.medianMillis(
                WARM_UP,
                options.rounds(),
                () -> all(records, SingleObject::encode),
                () -> all(records, record -> WireFormat.encode(record, 1)),
                () -> all(single, value -> decoder.decode(value, SegmentationRecord.class)),
                () -> all(framed, value -> decoder.decode(value, SegmentationRecord.class)));
        return List.of(
                framing(options, "single-object", single, millis[0], millis[2]),
                framing(options, "wire format", framed, millis[1], millis[3]));
    }

    private static Encoding framing(
            Options options, String framing, List<byte[]> values, double encodeMillis, double decodeMillis) {
        return new Encoding(
                "record of " + options.width() + "x" + options.height(),
                framing,
                kilobytes(values.stream().mapToLong(value -> value.length).sum(), values.size()),
                null,
                null,
                perSecond(encodeMillis, values.size()),
                perSecond(decodeMillis, values.size()));
    }

    private static List<Encoding> masks(Options options, List<DenseOutput> outputs) throws Exception {
        List<byte[]> masks = new ArrayList<>();
        for (HeadOutput head : heads(outputs, HeadKind.SEGMENTATION)) {
            masks.add(repeat(head, options.width(), options.height()));
        }
        List<Encoding> found = new ArrayList<>();
        for (MaskEncoding encoding : masks.isEmpty() ? List.<MaskEncoding>of() : MASKS) {
            List<Mask> encoded = new ArrayList<>();
            for (byte[] mask : masks) {
                encoded.add(MaskCodec.encode(encoding, mask, options.width(), options.height()));
            }
            double[] millis = Turns.medianMillis(
                    WARM_UP,
                    options.rounds(),
                    () -> all(masks, mask -> MaskCodec.encode(encoding, mask, options.width(), options.height())),
                    () -> all(encoded, MaskCodec::decode));
            found.add(new Encoding(
                    "labels " + options.width() + "x" + options.height(),
                    encoding.name().toLowerCase(Locale.ROOT).replace('_', '-'),
                    kilobytes(
                            encoded.stream()
                                    .mapToLong(mask -> mask.getData().remaining())
                                    .sum(),
                            masks.size()),
                    null,
                    null,
                    perSecond(millis[0], masks.size()),
                    perSecond(millis[1], masks.size())));
        }
        return found;
    }

    private static List<HeadOutput> heads(List<DenseOutput> outputs, HeadKind kind) {
        return outputs.stream()
                .flatMap(output -> output.heads().stream())
                .filter(output -> output.head().kind() == kind)
                .toList();
    }

    /** The labels of a head of any size, side by side until they fill the size. */
    private static byte[] repeat(HeadOutput output, int width, int height) {
        HeadSpec head = output.head();
        ByteBuffer labels = output.data();
        byte[] mask = new byte[width * height];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x += head.width()) {
                labels.get(y % head.height() * head.width(), mask, y * width + x, Math.min(head.width(), width - x));
            }
        }
        return mask;
    }

    private static List<Encoding> features(Options options, List<DenseOutput> outputs) throws Exception {
        List<HeadOutput> heads = heads(outputs, HeadKind.FEATURES);
        List<Encoding> found = new ArrayList<>();
        for (HeadSpec head : heads.stream().map(HeadOutput::head).distinct().toList()) {
            List<HeadOutput> tensors =
                    heads.stream().filter(one -> one.head().equals(head)).toList();
            found.add(features(options, head, tensors, TensorType.FLOAT16, 256));
            for (int levels : LEVELS) {
                found.add(features(options, head, tensors, TensorType.INT8, levels));
            }
        }
        return found;
    }

    private static Encoding features(
            Options options, HeadSpec head, List<HeadOutput> tensors, TensorType type, int levels) throws Exception {
        TensorFormat format = new TensorFormat(
                List.of(head.channels(), head.height(), head.width()),
                TensorLayout.CHW,
                head.stride(),
                null,
                type,
                true,
                Compression.ZSTD,
                levels);
        TensorType given = TensorType.valueOf(head.dtype().name());
        List<Tensor> encoded = new ArrayList<>();
        double sum = 0;
        double lowest = 1;
        int cells = head.width() * head.height();
        for (HeadOutput tensor : tensors) {
            Tensor bytes = TensorCodec.encode(tensor.data(), given, format);
            encoded.add(bytes);
            float[] before = tensor.toFloats();
            float[] after = TensorCodec.toFloats(bytes);
            for (int cell = 0; cell < cells; cell++) {
                double cosine = cosine(before, after, cell, cells);
                sum += cosine;
                lowest = Math.min(lowest, cosine);
            }
        }
        double[] millis = Turns.medianMillis(
                WARM_UP,
                options.rounds(),
                () -> all(tensors, tensor -> TensorCodec.encode(tensor.data(), given, format)),
                () -> all(encoded, TensorCodec::toFloats));
        return new Encoding(
                "%s %dx%dx%d".formatted(head.name(), head.channels(), head.height(), head.width()),
                type == TensorType.INT8 ? "int8+zstd " + levels : "fp16+zstd",
                kilobytes(
                        encoded.stream()
                                .mapToLong(tensor -> tensor.getData().remaining())
                                .sum(),
                        tensors.size()),
                sum / cells / tensors.size(),
                lowest,
                perSecond(millis[0], tensors.size()),
                perSecond(millis[1], tensors.size()));
    }

    /** The cosine of two feature vectors at one cell; 1 if both are zero. */
    private static double cosine(float[] a, float[] b, int cell, int cells) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (int i = cell; i < a.length; i += cells) {
            ab += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return aa == 0 && bb == 0 ? 1 : aa == 0 || bb == 0 ? 0 : ab / Math.sqrt(aa * bb);
    }

    private interface Step<T> {
        Object apply(T item) throws Exception;
    }

    private static <T> Object all(List<T> items, Step<T> step) throws Exception {
        int hash = 0;
        for (T item : items) {
            hash += System.identityHashCode(step.apply(item));
        }
        return hash;
    }

    private static double kilobytes(long bytes, int items) {
        return LoadReport.round(bytes / 1e3 / items);
    }

    private static double perSecond(double millis, int items) {
        return LoadReport.round(1e3 * items / millis);
    }
}
