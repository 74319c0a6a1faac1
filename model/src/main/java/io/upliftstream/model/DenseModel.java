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
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;
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
    private final TorchGraph backbone;
    private final TorchGraph upsampler;
    private final OutputArrays outputArrays;
    /** Where the library of operators brings them. */
    private final @Nullable Lanes lanes;

    /** What one call gave: an output per frame, in heap buffers that belong to the caller, and where its time went. */
    public record Batch(List<DenseOutput> outputs, CallTimings timings) {}

    /**
     * Where the time of one call went.
     *
     * @param inputNanos making arrays of the frames; on lanes, copying them to the device
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
        return load(bundle, options, 1);
    }

    /**
     * The same for several calls at a time, where there is a GPU and the library of operators.
     *
     * @param calls that run at a time there
     */
    static DenseModel load(ModelBundle bundle, ModelOptions options, int calls) throws BundleException {
        Optional<Path> library = start(options);
        Placement placement = Placement.choose(bundle, options);
        Device device = placement.device();
        if (device.isGpu()) {
            OperatorLibrary.lossOnGpu(placement.variant(), library).ifPresent(LOG::warn);
        }
        Variant variant =
                library.isPresent() ? placement.variant() : placement.variant().withoutOperators();
        // On a CPU there is nothing to gain, but what a GPU does can be tried.
        Lane.Opener lanes = library.isPresent() && (device.isGpu() || variant.operators() != null)
                ? () -> NativeLane.open(library.get(), device)
                : null;
        return load(
                bundle,
                new Placement(variant, device, placement.reason()),
                options.maxBatch(),
                lanes,
                device.isGpu() ? calls : 1);
    }

    /**
     * Loads a variant.
     *
     * @param maxBatch as of {@link ModelOptions}
     * @param lanes what opens a lane to the device; null to do without
     * @param calls lanes
     */
    static DenseModel load(
            ModelBundle bundle, Placement placement, int maxBatch, Lane.@Nullable Opener lanes, int calls)
            throws BundleException {
        try {
            return checked(new DenseModel(bundle, placement, maxBatch, lanes, calls));
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
        PyTorch.emptyCache(); // a model that was closed left its memory there
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

    private DenseModel(ModelBundle bundle, Placement placement, int maxBatch, Lane.@Nullable Opener lanes, int calls)
            throws IOException, BundleException {
        this.bundle = bundle;
        this.placement = placement;
        this.maxBatch = maxBatch(bundle, placement, maxBatch);
        outputArrays = new OutputArrays(bundle.heads());
        Variant variant = placement.variant();
        BundleFile operators = variant.operators();
        backbone = TorchGraph.load(variant.backbone(), placement.device());
        TorchGraph loaded = null;
        try {
            loaded = TorchGraph.load(operators != null ? operators : variant.upsampler(), placement.device());
            this.lanes = lanes == null ? null : Lanes.open(lanes, calls, backbone, loaded, bundle, this.maxBatch);
        } catch (IOException | BundleException | RuntimeException | Error e) {
            if (loaded != null) {
                loaded.close();
            }
            backbone.close();
            throw e;
        }
        upsampler = loaded;
    }

    private static int maxBatch(ModelBundle bundle, Placement placement, int asked) {
        int most = bundle.input().maxBatch();
        return asked > 0 ? Math.min(asked, most) : placement.device().isGpu() ? most : 1;
    }

    /** A model that is warm and has passed its golden check; closed if it does not pass. */
    private static DenseModel checked(DenseModel model) throws BundleException {
        try {
            model.prepareLanes();
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

    private void prepareLanes() {
        if (lanes == null) {
            return;
        }
        Device device = placement.device();
        OptionalLong before = PyTorch.freeBytes(device);
        // What calls left in PyTorch's cache is of no use to recordings, whose memory is their own.
        String why = lanes.prepare(WARM_UP_CALLS, PyTorch::emptyCache);
        if (why != null && device.isGpu()) {
            LOG.warn("CUDA graphs are not used: kernels are launched one by one, one batch at a time: {}", why);
        }
        if (before.isPresent()) {
            long taken = before.getAsLong() - PyTorch.freeBytes(device).orElse(0);
            LOG.info(
                    "{} lanes for batches of at most {} take {} MiB of {}",
                    lanes.count(),
                    maxBatch,
                    taken >> 20,
                    device);
        }
    }

    /** Runs the model until PyTorch has optimised it; the golden frames were the first calls, one frame each. */
    private void warmUp() {
        if (lanes != null) {
            return; // warm since they were prepared
        }
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
     * waits for it between the graphs: without the library of operators, which takes times on the GPU, both graphs' time is
     * that of upsampler and output there, and the backbone's is zero.
     */
    public Batch run(ByteBuffer rgb, int n) {
        return run(rgb, n, false);
    }

    /** As {@link #run}, but on a GPU without those times it waits after each graph, which takes a little longer. */
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
        try {
            return lanes != null ? lanes.run(rgb, n) : runDirectly(rgb, n, inStages);
        } catch (RuntimeException e) {
            if (PyTorch.answers(placement.device())) {
                throw e;
            }
            throw new DeviceLostException(
                    "%s computes nothing any more: %s (expected: a process started anew finds it)"
                            .formatted(placement.device(), e.getMessage()),
                    e);
        }
    }

    private Batch runDirectly(ByteBuffer rgb, int n, boolean inStages) {
        InputSpec input = bundle.input();
        long start = System.nanoTime();
        try (NDManager arrays = backbone.arrays()) {
            NDArray frames = arrays.create(
                    rgb.slice(0, n * input.frameBytes()),
                    new Shape(n, input.height(), input.width(), 3),
                    DataType.UINT8);
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
            outputArrays.check(outputs, n);
            List<DenseOutput> frameOutputs = outputArrays.copy(
                    outputs.stream().map(array -> array.toByteBuffer(true)).toList(), n);
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

    /** The sizes of batches that ran before the golden check, each on every lane; 1 alone where there are none. */
    int warmBatches() {
        return lanes == null ? 1 : maxBatch;
    }

    /** Calls that run at a time; others wait, or compete. */
    int lanes() {
        return lanes == null ? 1 : lanes.count();
    }

    /** One line for people: model, variant, device, threads, and why this variant. */
    public String describe() {
        Device placed = placement.device();
        String device = placed.isGpu()
                ? "GPU " + placed.getDeviceId() + " (CUDA)"
                : "the CPU with " + PyTorch.threads() + " threads";
        String calls = lanes == null
                ? ""
                : ", %d at a time%s".formatted(lanes.count(), lanes.recorded() ? ", as CUDA graphs" : "");
        return "%s, variant %s%s on %s, batches of at most %d frames%s (%s)"
                .formatted(
                        bundle,
                        placement.variant().name(),
                        placement.variant().operators() == null ? "" : " with operators",
                        device,
                        maxBatch,
                        calls,
                        placement.reason());
    }

    /** Native arrays that are still held; between calls there should be none. */
    int heldArrays() {
        return backbone.heldArrays() + upsampler.heldArrays();
    }

    @Override
    public void close() {
        if (lanes != null) {
            lanes.close();
        }
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
