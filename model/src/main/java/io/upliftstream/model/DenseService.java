package io.upliftstream.model;

import com.sun.jna.NativeLibrary;
import io.upliftstream.model.FrameException.Reason;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Image bytes in, dense outputs out: decodes on a small pool, batches, and runs the model on one worker.
 *
 * <pre>{@code
 * try (DenseService service = DenseService.acquire(new ServiceOptions(bundle, ModelOptions.AUTO))) {
 *     DenseResult result = service.submit(jpeg).get();
 * }
 * }</pre>
 *
 * <p>Everyone in this JVM who acquires the same bundle with the same options shares one model; the last one to close
 * frees it. A caller bounds its memory by having at most {@link #preferredInFlight} frames submitted and unanswered.
 */
public final class DenseService implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DenseService.class);
    private static final Map<Key, Shared> OPEN = new HashMap<>();

    private final Shared shared;
    private final AtomicBoolean closed = new AtomicBoolean();

    /** The exit code of a process in which a second call of the model or of a decoder hangs: EX_TEMPFAIL, a restart may help. */
    public static final int HANGING = 75;

    private record Key(String sha256, ServiceOptions options) {}

    private DenseService(Shared shared) {
        this.shared = shared;
    }

    /**
     * Joins the service with these options, or loads the bundle and starts one.
     *
     * @throws BundleException if the bundle cannot be served here
     */
    public static DenseService acquire(ServiceOptions options) throws BundleException {
        synchronized (OPEN) {
            ModelBundle bundle = ModelBundle.load(options.bundle());
            Key key = new Key(bundle.sha256(), options);
            Shared shared = OPEN.get(key);
            if (shared == null) {
                shared = new Shared(key, DenseModel.load(bundle, options.model()));
                OPEN.put(key, shared);
            }
            shared.users++;
            return new DenseService(shared);
        }
    }

    /**
     * Decodes an image and runs the model on it. Never blocks.
     *
     * @return completes on a thread of {@link #executor}; fails with a {@link FrameException}
     */
    public CompletableFuture<DenseResult> submit(byte[] image) {
        return submit("", image, () -> false);
    }

    /**
     * Decodes an image and runs the model on it, unless nobody wants the result any more. Never blocks.
     *
     * @param source of the image: none has more than half of the decoders while another waits
     * @param expired asked before the image is decoded and before it goes to the model, by any thread; once true, the frame
     *     fails with {@link Reason#DEADLINE}
     */
    public CompletableFuture<DenseResult> submit(String source, byte[] image, BooleanSupplier expired) {
        if (closed.get()) {
            throw new IllegalStateException("the service was closed");
        }
        return shared.submit(source, image, expired);
    }

    /** The pool that decodes; also for what callers do with a result, such as encoding it. */
    public Executor executor() {
        return shared.pool;
    }

    public ModelBundle bundle() {
        return shared.model.bundle();
    }

    /** The variant that runs. */
    public ModelBundle.Variant variant() {
        return shared.model.variant();
    }

    /** One line for people: model, variant, device, and why; see {@link DenseModel#describe}. */
    public String describe() {
        return shared.model.describe() + ", decoding on " + shared.pool.size() + " threads";
    }

    /** Most frames of one call of the model. */
    public int maxBatch() {
        return shared.model.maxBatch();
    }

    /** Frames a caller should have submitted and unanswered: three batches, so that model and decoder never idle. */
    public int preferredInFlight() {
        return 3 * maxBatch();
    }

    /** How the model and its decoders have fared so far, for all callers together. */
    public ModelHealth health() {
        ModelHealth model = shared.batcher.health();
        return new ModelHealth(model.hangs() + shared.pool.hangs(), model.retries(), model.batchLimit());
    }

    /** Gives up this caller's share; the last one ends the threads and frees the model. */
    @Override
    public void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        synchronized (OPEN) {
            shared.users--;
            if (shared.users == 0) {
                OPEN.remove(shared.key);
                shared.close();
            }
        }
    }

    /** Ends the process: in order, or, if a call of the model or of a decoder hangs, at once. */
    public static void exit(int code) {
        if (!MicroBatcher.stuck()) {
            System.exit(code);
        }
        exitAtOnce(code);
    }

    /**
     * Ends the process whatever goes on in it. A call of the model cannot be ended, and both an orderly end and Java's halt run
     * the native library's destructors beneath it, which may crash.
     */
    public static void exitAtOnce(int code) {
        try {
            NativeLibrary.getProcess().getFunction("_exit").invoke(new Object[] {code});
        } finally { // where there is no such function
            Runtime.getRuntime().halt(code);
        }
    }

    /** A frame on its way to the model. */
    private record Decoded(DecodedFrame frame, long decodeNanos, long submitted, BooleanSupplier expired) {}

    /** What the model answered for a frame. */
    private record Answer(DenseOutput output, StageTimings timings) {}

    /** The one instance behind all callers with the same options. */
    private static final class Shared {
        private final Key key;
        private final DenseModel model;
        private final FrameDecoder decoder;
        private final DecodePool pool;
        private final MicroBatcher<Decoded, Answer> batcher;
        private int users;

        Shared(Key key, DenseModel model) {
            this.key = key;
            this.model = model;
            InputSpec input = model.bundle().input();
            decoder = new FrameDecoder(input, key.options().maxPixels());
            int cores = Runtime.getRuntime().availableProcessors();
            int threads = model.variant().device().equals("cpu") ? Math.max(2, cores / 4) : Math.max(2, cores);
            pool = new DecodePool(threads, key.options().decodeTimeout(), Shared::endProcess);
            batcher = new MicroBatcher<>(
                    "uplift-model",
                    model.maxBatch(),
                    key.options().queueCapacity(),
                    key.options().timeout(),
                    this::worker,
                    decoded -> decoded.expired().getAsBoolean(),
                    Shared::endProcess);
        }

        CompletableFuture<DenseResult> submit(String source, byte[] image, BooleanSupplier expired) {
            CompletableFuture<DenseResult> result = new CompletableFuture<>();
            long submitted = System.nanoTime();
            CompletableFuture<?> unused = pool.decode(source, () -> decode(image, submitted, expired))
                    .whenComplete((frame, failure) -> {
                        if (frame != null) {
                            infer(frame, result);
                        } else {
                            result.completeExceptionally(undecoded(failure));
                        }
                    });
            return result;
        }

        private Decoded decode(byte[] image, long submitted, BooleanSupplier expired) throws FrameException {
            if (expired.getAsBoolean()) {
                throw new FrameException(
                        Reason.DEADLINE, "the frame expired while it waited for a decoder (expected: its turn)");
            }
            long start = System.nanoTime();
            DecodedFrame frame = decoder.decode(image);
            return new Decoded(frame, System.nanoTime() - start, submitted, expired);
        }

        private static FrameException undecoded(Throwable failure) {
            return failure instanceof FrameException problem
                    ? problem
                    : new FrameException(Reason.CORRUPT_IMAGE, "the image cannot be decoded: " + failure, failure);
        }

        private void infer(Decoded frame, CompletableFuture<DenseResult> result) {
            try {
                var unused = batcher.submit(frame)
                        .whenCompleteAsync((answer, failure) -> answer(frame.frame(), answer, failure, result), pool);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                result.completeExceptionally(failed(e));
            }
        }

        /** A function with a buffer of its own: a worker that was given up may still be reading its own. */
        private MicroBatcher.BatchFunction<Decoded, Answer> worker() {
            ByteBuffer buffer = ByteBuffer.allocateDirect(
                    model.maxBatch() * model.bundle().input().frameBytes());
            return frames -> infer(frames, buffer);
        }

        private List<Answer> infer(List<Decoded> frames, ByteBuffer batchBuffer) {
            long start = System.nanoTime();
            int n = frames.size();
            ByteBuffer rgb = frames.get(0).frame().rgb();
            if (n > 1) {
                rgb = batchBuffer;
                int bytes = model.bundle().input().frameBytes();
                for (int i = 0; i < n; i++) {
                    rgb.put(i * bytes, frames.get(i).frame().rgb(), 0, bytes);
                }
            }
            DenseModel.Batch batch = model.run(rgb, n);
            DenseModel.CallTimings call = batch.timings();
            List<Answer> answers = new ArrayList<>(n);
            for (int i = 0; i < n; i++) {
                Decoded frame = frames.get(i);
                long queued = start - frame.submitted() - frame.decodeNanos();
                StageTimings timings = new StageTimings(
                        frame.decodeNanos(),
                        queued,
                        call.inputNanos() + call.backboneNanos(),
                        call.upsamplerNanos() + call.outputNanos(),
                        n);
                answers.add(new Answer(batch.outputs().get(i), timings));
            }
            return answers;
        }

        private void answer(
                DecodedFrame frame,
                @Nullable Answer answer,
                @Nullable Throwable failure,
                CompletableFuture<DenseResult> result) {
            if (answer == null) {
                FrameException problem = failed(failure);
                if (problem.reason() != Reason.TIMEOUT) { // else the model may still be reading it
                    decoder.recycle(frame);
                }
                result.completeExceptionally(problem);
                return;
            }
            decoder.recycle(frame);
            for (HeadOutput head : answer.output().heads()) {
                if (!head.isFinite()) {
                    result.completeExceptionally(new FrameException(
                            Reason.NON_FINITE_OUTPUT,
                            "head " + head.head().name() + " has NaN or infinite numbers (expected: finite ones)"));
                    return;
                }
            }
            result.complete(new DenseResult(answer.output(), frame.transform(), answer.timings()));
        }

        private static FrameException failed(@Nullable Throwable cause) {
            if (cause instanceof FrameException problem) {
                return problem;
            }
            String message = cause == null ? "it gave no answer" : String.valueOf(cause.getMessage());
            return new FrameException(Reason.MODEL_FAILED, "the model failed: " + message, cause);
        }

        private static void endProcess() {
            System.err.printf(
                    "uplift: two calls of the model hang, or of its decoders (expected: at most one);"
                            + " ending with exit code %d%n",
                    HANGING);
            exit(HANGING);
        }

        void close() {
            batcher.close();
            pool.close();
            if (MicroBatcher.stuck()) {
                LOG.warn("{} stays in memory: a call has not come back", model.bundle());
            } else {
                model.close();
            }
        }
    }
}
