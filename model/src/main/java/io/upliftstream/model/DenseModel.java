package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.ParameterStore;
import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
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
    /** PyTorch optimises a graph during its first two or three calls. */
    private static final int WARM_UP_CALLS = 3;

    private final ModelBundle bundle;
    private final Placement placement;
    private final int maxBatch;
    private final Model backbone;
    private final Model upsampler;

    /** The variant to run, the GPU to run it on (-1: the CPU), and why. */
    record Placement(Variant variant, int gpu, String reason) {}

    /** What one call gave: an output per frame, in heap buffers that belong to the caller, and where its time went. */
    public record Batch(List<DenseOutput> outputs, Stages stages) {}

    /**
     * Where the time of one call went.
     *
     * @param inputNanos making arrays of the frames
     * @param backboneNanos of the backbone's graph
     * @param upsamplerNanos of the graph of upsampler and heads
     * @param outputNanos checking the outputs and copying them to the heap; on a GPU also what the upsampler still computes
     */
    public record Stages(long inputNanos, long backboneNanos, long upsamplerNanos, long outputNanos) {}

    /**
     * Loads the variant that fits {@code options} and this machine, warms it up and runs the golden check.
     *
     * @throws BundleException if no variant fits, the device is not there, or the golden outputs do not agree
     */
    public static DenseModel load(ModelBundle bundle, ModelOptions options) throws BundleException {
        Engine engine;
        Placement placement;
        try {
            engine = engine(options.threads());
            boolean cuda = engine.hasCapability("CUDA");
            placement = place(bundle, options, cuda ? Math.max(1, engine.getGpuCount()) : 0, cpuFlags());
        } catch (EngineException | UnsatisfiedLinkError e) {
            throw new BundleException("PyTorch does not start: " + rootMessage(e), e);
        }
        DenseModel model = new DenseModel(bundle, placement, options.maxBatch());
        try {
            model.open();
            GoldenReport report = model.verify();
            if (!report.passed()) {
                throw new BundleException("bundle " + bundle + ": the golden check fails: " + report);
            }
            model.warmUp();
            LOG.info("Loaded {}; golden check: {}", model.describe(), report);
            return model;
        } catch (IOException | MalformedModelException | RuntimeException e) {
            model.close();
            throw new BundleException(
                    "bundle %s: variant %s does not run: %s"
                            .formatted(bundle, placement.variant().name(), rootMessage(e)),
                    e);
        } catch (BundleException e) {
            model.close();
            throw e;
        }
    }

    private DenseModel(ModelBundle bundle, Placement placement, int maxBatch) {
        this.bundle = bundle;
        this.placement = placement;
        int most = bundle.input().maxBatch();
        boolean cpu = placement.gpu() < 0;
        this.maxBatch = maxBatch == 0 ? (cpu ? 1 : most) : Math.min(maxBatch, most);
        Device device = cpu ? Device.cpu() : Device.gpu(placement.gpu());
        backbone = Model.newInstance("backbone", device, "PyTorch");
        upsampler = Model.newInstance("upsampler", device, "PyTorch");
    }

    private void open() throws IOException, MalformedModelException {
        // Frozen graphs carry their device in constants; this moves them.
        Map<String, String> options = placement.gpu() < 0 ? Map.of() : Map.of("mapLocation", "true");
        load(backbone, placement.variant().backbone(), options);
        load(upsampler, placement.variant().upsampler(), options);
    }

    /** The golden frames were the first calls, one frame each. */
    private void warmUp() {
        ByteBuffer frames = ByteBuffer.allocateDirect(maxBatch * bundle.input().frameBytes());
        for (int call = maxBatch == 1 ? bundle.golden().count() : 0; call < WARM_UP_CALLS; call++) {
            infer(frames, maxBatch);
        }
    }

    private static void load(Model model, Path file, Map<String, String> options)
            throws IOException, MalformedModelException {
        Path name = file.getFileName();
        if (name == null) {
            throw new IOException("no file: " + file);
        }
        model.load(file.getParent(), name.toString(), options);
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

    /** The same as {@link #infer}, with the times of its stages. */
    public Batch run(ByteBuffer rgb, int n) {
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
        // Every array of this call belongs to this manager and is freed with it: one that escaped would stay for ever.
        try (NDManager arrays = backbone.getNDManager().newSubManager()) {
            ParameterStore parameters = new ParameterStore(arrays, false);
            NDArray frames =
                    arrays.create(rgb.slice(0, bytes), new Shape(n, input.height(), input.width(), 3), DataType.UINT8);
            long created = System.nanoTime();
            NDArray features = backbone.getBlock()
                    .forward(parameters, new NDList(frames), false)
                    .singletonOrThrow();
            if (placement.gpu() >= 0) {
                // A GPU answers before it has computed; reading one number waits for it.
                features.get("0, 0, 0, 0:1").toByteBuffer();
            }
            long middle = System.nanoTime();
            NDList outputs = upsampler.getBlock().forward(parameters, new NDList(frames, features), false);
            long computed = System.nanoTime();
            List<DenseOutput> frameOutputs = copy(outputs, n);
            return new Batch(
                    frameOutputs,
                    new Stages(created - start, middle - created, computed - middle, System.nanoTime() - computed));
        }
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
        ModelBundle.Golden golden = bundle.golden();
        Map<String, Double> agreement = new LinkedHashMap<>();
        Map<String, Double> cosine = new LinkedHashMap<>();
        int frameBytes = bundle.input().frameBytes();
        try {
            byte[] frames = Files.readAllBytes(golden.frames());
            Map<String, byte[]> expected = new LinkedHashMap<>();
            for (HeadSpec head : bundle.heads()) {
                expected.put(head.name(), Files.readAllBytes(golden.outputs().get(head.name())));
            }
            ByteBuffer rgb = ByteBuffer.allocateDirect(frameBytes);
            for (int i = 0; i < golden.count(); i++) {
                rgb.put(0, frames, i * frameBytes, frameBytes);
                for (HeadOutput found : infer(rgb, 1).get(0).heads()) {
                    HeadSpec head = found.head();
                    ByteBuffer wanted =
                            ByteBuffer.wrap(expected.get(head.name()), i * head.frameBytes(), head.frameBytes());
                    float[] reference = new HeadOutput(head, wanted.slice(), null).toFloats();
                    if (head.kind() == HeadKind.SEGMENTATION) {
                        double share = agreement(found.toFloats(), reference) / golden.count();
                        agreement.merge(head.name(), share, Double::sum);
                    } else {
                        cosine.merge(head.name(), cosine(found.toFloats(), reference), Math::min);
                    }
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException("the golden outputs cannot be read: " + e, e);
        }
        return new GoldenReport(
                placement.variant().name(),
                agreement,
                cosine,
                placement.variant().tolerance());
    }

    private static double agreement(float[] a, float[] b) {
        int equal = 0;
        for (int i = 0; i < a.length; i++) {
            equal += a[i] == b[i] ? 1 : 0;
        }
        return (double) equal / a.length;
    }

    private static double cosine(float[] a, float[] b) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.length; i++) {
            ab += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return aa == 0 && bb == 0 ? 1 : ab / Math.sqrt(aa * bb);
    }

    public ModelBundle bundle() {
        return bundle;
    }

    /** The variant that runs. */
    public Variant variant() {
        return placement.variant();
    }

    /** The GPU that it runs on; -1 for the CPU. */
    int gpu() {
        return placement.gpu();
    }

    /** Most frames of one {@link #infer}. */
    public int maxBatch() {
        return maxBatch;
    }

    /** One line for people: model, variant, device, threads, and why this variant. */
    public String describe() {
        String device = placement.gpu() < 0
                ? "the CPU with " + startedThreads + " threads"
                : "GPU " + placement.gpu() + " (CUDA)";
        return "%s, variant %s on %s, batches of at most %d frames (%s)"
                .formatted(bundle, placement.variant().name(), device, maxBatch, placement.reason());
    }

    /** Native arrays that are still held; between calls there should be none. */
    int heldArrays() {
        return backbone.getNDManager().getManagedArrays().size()
                + upsampler.getNDManager().getManagedArrays().size();
    }

    @Override
    public void close() {
        backbone.close();
        upsampler.close();
    }

    /**
     * Chooses the variant.
     *
     * @param gpus that PyTorch can use
     * @param cpuFlags instruction sets of the CPU, as Linux names them
     */
    static Placement place(ModelBundle bundle, ModelOptions options, int gpus, Set<String> cpuFlags)
            throws BundleException {
        boolean hasCudaVariant =
                bundle.variants().stream().anyMatch(variant -> variant.device().equals("cuda"));
        boolean auto = options.device().equals("auto");
        boolean cuda = auto ? gpus > 0 && hasCudaVariant : options.device().startsWith("cuda");
        if (!cuda) {
            boolean fast =
                    cpuFlags.contains("amx_bf16") || cpuFlags.contains("avx512_bf16") || cpuFlags.contains("bf16");
            String instructions = fast ? "the CPU has bf16 instructions" : "the CPU has no bf16 instructions";
            String where = !auto ? "" : gpus == 0 ? "no usable GPU; " : "no variant for the GPU; ";
            Variant variant = variant(bundle, "cpu", options.precision(), fast ? "bf16" : "fp32", "fp32");
            if (fast && variant.precision().equals("int8")) {
                // That is the upsampler's precision; the backbone can have another.
                variant = variant.withBackboneOf(variant(bundle, "cpu", "auto", "bf16", "int8"));
            }
            return new Placement(variant, -1, where + instructions);
        }
        int gpu = options.device().startsWith("cuda:")
                ? Integer.parseInt(options.device().substring(5))
                : 0;
        if (gpu >= gpus) {
            throw new BundleException(
                    "device %s: PyTorch can use %d GPUs here (expected: at least %d, and a CUDA build of PyTorch)"
                            .formatted(options.device(), gpus, gpu + 1));
        }
        return new Placement(
                variant(bundle, "cuda", options.precision(), "fp16", "bf16", "fp32"), gpu, gpus + " usable GPUs");
    }

    /** The bundle's variant for a device at the asked precision, or at the first of {@code preferred} that it has. */
    private static Variant variant(ModelBundle bundle, String device, String precision, String... preferred)
            throws BundleException {
        for (String wanted : precision.equals("auto") ? preferred : new String[] {precision}) {
            for (Variant variant : bundle.variants()) {
                if (variant.device().equals(device) && variant.precision().equals(wanted)) {
                    return variant;
                }
            }
        }
        throw new BundleException("bundle %s: no variant for %s at precision %s (found: %s)"
                .formatted(
                        bundle,
                        device,
                        precision,
                        String.join(
                                ", ",
                                bundle.variants().stream().map(Variant::name).toList())));
    }

    /** 0 until PyTorch runs: it takes the number of its threads once per process. */
    private static int startedThreads;

    private static final int KEEP_WHAT_IS_SET = 0;

    /** PyTorch, started on first use. */
    static synchronized Engine engine(int threads) {
        if (startedThreads == 0) {
            // Without these DJL asks the network for newer natives and reports its use.
            System.setProperty("ai.djl.offline", "true");
            System.setProperty("OPT_OUT_TRACKING", "true");
            // OpenMP reads these as it is loaded. By default its threads spin for milliseconds while they wait; where
            // anything else runs (Kafka, Flink, decoding) they then take more time than the model itself. Without
            // spinning, every operator of a small model has to wake them. GNU's, on Linux, can spin for about 10
            // microseconds; where there are more threads than cores, with ACTIVE alone.
            Function setenv = NativeLibrary.getProcess().getFunction("setenv");
            String policy = Platform.isLinux() ? "ACTIVE" : "PASSIVE";
            setenv.invokeInt(new Object[] {"OMP_WAIT_POLICY", policy, KEEP_WHAT_IS_SET});
            setenv.invokeInt(new Object[] {"GOMP_SPINCOUNT", "1000", KEEP_WHAT_IS_SET});
            int cores = Runtime.getRuntime().availableProcessors();
            int wanted = threads > 0 ? threads : Integer.getInteger("ai.djl.pytorch.num_threads", cores - cores / 8);
            System.setProperty("ai.djl.pytorch.num_threads", String.valueOf(wanted));
            Engine engine = Engine.getEngine("PyTorch");
            startedThreads = wanted;
            return engine;
        }
        if (threads > 0 && threads != startedThreads) {
            LOG.warn("PyTorch keeps the {} threads it was started with ({} asked now)", startedThreads, threads);
        }
        return Engine.getEngine("PyTorch");
    }

    private static Set<String> cpuFlags() {
        Set<String> flags = new HashSet<>();
        Path cpuinfo = Path.of("/proc/cpuinfo");
        try (Stream<String> lines = Files.exists(cpuinfo) ? Files.lines(cpuinfo) : Stream.empty()) {
            lines.filter(line -> line.startsWith("flags") || line.startsWith("Features"))
                    .findFirst()
                    .ifPresent(line -> flags.addAll(
                            Arrays.asList(line.toLowerCase(Locale.ROOT).split("\\s+"))));
        } catch (IOException e) {
            LOG.warn("{} cannot be read; the CPU counts as one without bf16 instructions", cpuinfo, e);
        }
        return flags;
    }

    private static String rootMessage(Throwable e) {
        Throwable root = e;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return String.valueOf(root.getMessage())
                .lines()
                .findFirst()
                .orElse(root.getClass().getName());
    }
}
