package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.util.Utils;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A bundle's model on one device, warmed up and checked against the bundle's golden outputs.
 *
 * <pre>{@code
 * try (DenseModel model = DenseModel.load(ModelBundle.load(directory), ModelOptions.AUTO)) {
 *     List<DenseOutput> outputs = model.infer(rgb, 1);
 * }
 * }</pre>
 *
 * <p>It runs on PyTorch through DJL. Calls may come from several threads, but they compete for the same cores; one at a
 * time is fastest.
 */
public final class DenseModel implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DenseModel.class);
    /** Calls within which PyTorch optimises a graph: two or three. */
    private static final int WARM_UP_CALLS = 3;

    private final ModelBundle bundle;
    private final Placement placement;
    private final int maxBatch;
    private final boolean withOperators;
    private final TorchGraph backbone;
    private final TorchGraph upsampler;

    /** What one call gave: an output per frame, in heap buffers that belong to the caller, and where its time went. */
    public record Batch(List<DenseOutput> outputs, CallTimings timings) {}

    /**
     * Where the time of one call went.
     *
     * @param inputNanos making arrays of the frames
     * @param backboneNanos of the backbone's graph
     * @param upsamplerNanos of the graph of upsampler and heads
     * @param outputNanos checking the outputs and copying them to the heap
     */
    public record CallTimings(long inputNanos, long backboneNanos, long upsamplerNanos, long outputNanos) {}

    /**
     * Loads the variant that fits {@code options} and this machine, warms it up and runs the golden check.
     *
     * @throws BundleException if no variant fits, the device is not there, or the golden outputs do not agree
     */
    public static DenseModel load(ModelBundle bundle, ModelOptions options) throws BundleException {
        Optional<Path> library = start(options);
        Placement placement = Placement.choose(bundle, options);
        if (placement.device().isGpu()) {
            OperatorLibrary.lossOnGpu(placement.variant(), library).ifPresent(LOG::warn);
        }
        try {
            return checked(new DenseModel(bundle, placement, library.isPresent(), options.maxBatch()));
        } catch (IOException | RuntimeException e) {
            throw new BundleException(
                    "bundle %s: variant %s does not run: %s"
                            .formatted(bundle, placement.variant().name(), rootMessage(e)),
                    e);
        }
    }

    /**
     * The GPUs that PyTorch can use here; starts it.
     *
     * @throws BundleException if it does not start
     */
    public static int usableGpus(ModelOptions options) throws BundleException {
        Optional<Path> unused = start(options);
        return PyTorch.gpus();
    }

    /**
     * Refuses a bundle for which the device has no memory beside the models that run.
     *
     * @throws BundleException if there is too little, or no variant fits
     */
    static void requireRoom(ModelBundle bundle, ModelOptions options) throws BundleException {
        Optional<Path> unused = start(options);
        Placement placement = Placement.choose(bundle, options);
        Device device = placement.device();
        Room.require(
                bundle,
                placement.variant(),
                maxBatch(bundle, placement, options.maxBatch()),
                device.isGpu() ? PyTorch.freeBytes(device) : Room.ofHost());
    }

    /** Starts PyTorch, and says which library of operators it has loaded. */
    private static Optional<Path> start(ModelOptions options) throws BundleException {
        Optional<Path> library = OperatorLibrary.find(Utils.getEnvOrSystemProperty(OperatorLibrary.VARIABLE));
        try {
            PyTorch.start(options.threads());
            return library;
        } catch (EngineException | UnsatisfiedLinkError e) {
            throw new BundleException("PyTorch does not start: " + rootMessage(e), e);
        }
    }

    private DenseModel(ModelBundle bundle, Placement placement, boolean hasOperators, int maxBatch) throws IOException {
        this.bundle = bundle;
        this.placement = placement;
        this.maxBatch = maxBatch(bundle, placement, maxBatch);
        Variant variant = placement.variant();
        BundleFile operators = hasOperators ? variant.operators() : null;
        withOperators = operators != null;
        backbone = TorchGraph.load(variant.backbone(), placement.device());
        try {
            upsampler = TorchGraph.load(operators != null ? operators : variant.upsampler(), placement.device());
        } catch (IOException | RuntimeException e) {
            backbone.close();
            throw e;
        }
    }

    private static int maxBatch(ModelBundle bundle, Placement placement, int asked) {
        int most = bundle.input().maxBatch();
        return asked > 0 ? Math.min(asked, most) : placement.device().isGpu() ? most : 1;
    }

    /** A model that has passed its golden check and is warm; closed if it does not pass. */
    private static DenseModel checked(DenseModel model) throws BundleException {
        try {
            GoldenReport report = model.verify();
            if (!report.passed()) {
                throw new BundleException("bundle " + model.bundle + ": the golden check fails: " + report);
            }
            model.warmUp();
            LOG.info("Loaded {}; golden check: {}", model.describe(), report);
            return model;
        } catch (BundleException | RuntimeException | Error e) { // too little direct memory is an Error
            model.close();
            throw e;
        }
    }

    /** Runs the model until PyTorch has optimised it; the golden frames were the first calls, one frame each. */
    private void warmUp() {
        ByteBuffer frames = ByteBuffer.allocateDirect(maxBatch * bundle.input().frameBytes());
        for (int call = maxBatch == 1 ? bundle.golden().count() : 0; call < WARM_UP_CALLS; call++) {
            infer(frames, maxBatch);
        }
    }

    /**
     * Runs the model.
     *
     * @param rgb direct buffer of u8[n,H,W,3] from index 0 on, whatever its position; it is read until this returns
     * @param n frames, from 1 to {@link #maxBatch}
     * @return one output per frame, in heap buffers that belong to the caller
     */
    public List<DenseOutput> infer(ByteBuffer rgb, int n) {
        return run(rgb, n).outputs();
    }

    /**
     * Runs the model as {@link #infer} does and says where the time went. A GPU answers before it has computed, and nothing
     * waits for it between the graphs: both graphs' time is that of upsampler and output there, and the backbone's is zero.
     */
    public Batch run(ByteBuffer rgb, int n) {
        return run(rgb, n, false);
    }

    /** Runs the model as {@link #run} does, but on a GPU waits after each graph, which takes a little longer. */
    public Batch runInStages(ByteBuffer rgb, int n) {
        return run(rgb, n, true);
    }

    private Batch run(ByteBuffer rgb, int n, boolean inStages) {
        InputSpec input = bundle.input();
        if (n < 1 || n > maxBatch) {
            throw new IllegalArgumentException("batch size: " + n + " (expected: 1 to " + maxBatch + ")");
        }
        int bytes = n * input.frameBytes();
        if (!rgb.isDirect() || rgb.capacity() < bytes) {
            throw new IllegalArgumentException("input: %s buffer of %d bytes (expected: direct, at least %d)"
                    .formatted(rgb.isDirect() ? "direct" : "heap", rgb.capacity(), bytes));
        }
        long start = System.nanoTime();
        try (NDManager arrays = backbone.arrays()) {
            NDArray frames =
                    arrays.create(rgb.slice(0, bytes), new Shape(n, input.height(), input.width(), 3), DataType.UINT8);
            long created = System.nanoTime();
            NDArray features = backbone.forward(arrays, frames).singletonOrThrow();
            boolean gpu = placement.device().isGpu();
            boolean waits = gpu && inStages;
            if (waits) {
                await(features);
            }
            long middle = waits || !gpu ? System.nanoTime() : created;
            NDList outputs = upsampler.forward(arrays, frames, features);
            if (waits) {
                await(outputs.head());
            }
            long computed = System.nanoTime();
            List<DenseOutput> frameOutputs = copy(outputs, n);
            return new Batch(
                    frameOutputs,
                    new CallTimings(
                            created - start, middle - created, computed - middle, System.nanoTime() - computed));
        }
    }

    /** Waits for what a GPU still computes: reads one number of it. */
    private static void await(NDArray array) {
        String first = "0, ".repeat(array.getShape().dimension() - 1) + "0:1";
        ByteBuffer unused = array.get(first).toByteBuffer();
    }

    /** Copies the outputs to the heap: views into native memory must not outlive their manager. */
    private List<DenseOutput> copy(NDList outputs, int n) {
        int expected = bundle.heads().stream()
                .mapToInt(head -> head.confidence() ? 2 : 1)
                .sum();
        if (outputs.size() != expected) {
            throw new IllegalStateException(
                    "the upsampler gives %d outputs (expected: %d)".formatted(outputs.size(), expected));
        }
        List<List<HeadOutput>> perFrame = Stream.generate(() -> (List<HeadOutput>) new ArrayList<HeadOutput>())
                .limit(n)
                .toList();
        int next = 0;
        for (HeadSpec head : bundle.heads()) {
            List<ByteBuffer> data = split(head, outputs.get(next++), n);
            List<ByteBuffer> confidence = head.confidence() ? split(head, outputs.get(next++), n) : List.of();
            for (int i = 0; i < n; i++) {
                perFrame.get(i).add(new HeadOutput(head, data.get(i), head.confidence() ? confidence.get(i) : null));
            }
        }
        return perFrame.stream()
                .map(heads -> new DenseOutput(List.copyOf(heads)))
                .toList();
    }

    private static List<ByteBuffer> split(HeadSpec head, NDArray array, int n) {
        Shape shape = head.kind() == HeadKind.SEGMENTATION
                ? new Shape(n, head.height(), head.width())
                : new Shape(n, head.channels(), head.height(), head.width());
        DataType dtype = DataType.valueOf(head.dtype().name());
        if (!array.getShape().equals(shape) || array.getDataType() != dtype) {
            throw new IllegalStateException("head %s: %s %s (expected: %s %s)"
                    .formatted(head.name(), array.getDataType(), array.getShape(), dtype, shape));
        }
        ByteBuffer view = array.toByteBuffer(true);
        List<ByteBuffer> frames = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            frames.add(ByteBuffer.allocate(head.frameBytes())
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .put(0, view, i * head.frameBytes(), head.frameBytes()));
        }
        return frames;
    }

    /** Runs the golden frames and says how far the outputs agree with what the bundle's author computed. */
    public GoldenReport verify() {
        return GoldenCheck.run(this);
    }

    public ModelBundle bundle() {
        return bundle;
    }

    /** The variant that runs. */
    public Variant variant() {
        return placement.variant();
    }

    /** The device that it runs on. */
    Device device() {
        return placement.device();
    }

    /** Most frames of one {@link #infer}. */
    public int maxBatch() {
        return maxBatch;
    }

    /** One line for people: model, variant, device, threads, and why this variant. */
    public String describe() {
        Device placed = placement.device();
        String device = placed.isGpu()
                ? "GPU " + placed.getDeviceId() + " (CUDA)"
                : "the CPU with " + PyTorch.threads() + " threads";
        return "%s, variant %s%s on %s, batches of at most %d frames (%s)"
                .formatted(
                        bundle,
                        placement.variant().name(),
                        withOperators ? " with operators" : "",
                        device,
                        maxBatch,
                        placement.reason());
    }

    /** Native arrays that are still held; between calls there should be none. */
    int heldArrays() {
        return backbone.heldArrays() + upsampler.heldArrays();
    }

    @Override
    public void close() {
        backbone.close();
        upsampler.close();
    }

    private static String rootMessage(Throwable e) {
        Throwable root = e;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return String.valueOf(root.getMessage())
                .lines()
                .map(String::strip)
                .filter(line -> !line.isEmpty()) // TorchScript's messages begin with an empty line
                .findFirst()
                .map(OperatorLibrary::explained)
                .orElse(root.getClass().getName());
    }
}
