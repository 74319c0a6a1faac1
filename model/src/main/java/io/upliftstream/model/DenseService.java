package io.upliftstream.model;

import com.sun.jna.NativeLibrary;
import io.upliftstream.model.FrameException.Reason;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;

/**
 * Image bytes in, dense outputs out: decodes on a small pool, batches, and runs the model.
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
    /** What is loaded or being loaded; guards the numbers of users. Nobody loads or closes a model while holding it. */
    private static final Map<Key, Opening> OPEN = new HashMap<>();

    private final Opening opening;
    private final ServedModel shared;
    private final AtomicBoolean closed = new AtomicBoolean();

    /** The exit code of a process in which a second call of the model or of a decoder hangs, or a GPU is lost: EX_TEMPFAIL. */
    public static final int HANGING = 75;

    /** While a GPU computes one batch, another's frames and outputs are on their way. */
    private static final int CALLS_ON_GPU = 2;

    private static final Duration FOR_EVER = Duration.ofNanos(Long.MAX_VALUE);

    private record Key(String sha256, ServiceOptions options) {}

    private DenseService(Opening opening, ServedModel shared) {
        this.opening = opening;
        this.shared = shared;
    }

    /**
     * Joins the service with these options, or loads the bundle and starts one.
     *
     * @throws BundleException if the bundle cannot be served here
     */
    public static DenseService acquire(ServiceOptions options) throws BundleException {
        return acquire(options, FOR_EVER);
    }

    /**
     * As {@link #acquire(ServiceOptions)}, but gives up a bundle that does not load, answer its golden frames and warm up
     * in time. What it hangs in cannot be ended: its thread counts as a call of a model that hangs.
     *
     * @throws BundleException if the bundle cannot be served here, or not in time
     */
    public static DenseService acquire(ServiceOptions options, Duration patience) throws BundleException {
        ModelBundle bundle = ModelBundle.load(options.bundle());
        Key key = new Key(bundle.sha256(), options);
        Opening opening;
        synchronized (OPEN) {
            opening = OPEN.get(key);
            if (opening == null) {
                opening = new Opening(key);
                opening.load(bundle, !OPEN.isEmpty());
                OPEN.put(key, opening);
            }
            opening.users++;
        }
        boolean joined = false;
        boolean hangs = false;
        try {
            ServedModel shared = opening.shared.get(patience.toNanos(), TimeUnit.NANOSECONDS);
            joined = true;
            return new DenseService(opening, shared);
        } catch (TimeoutException e) {
            hangs = true;
            throw new BundleException(
                    "bundle %s: not loaded, checked and warm within %d s (expected: in time; its calls may hang)"
                            .formatted(bundle, patience.toSeconds()),
                    e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            String message = e.getCause() instanceof BundleException problem
                    ? String.valueOf(problem.getMessage())
                    : "bundle %s: does not load: %s".formatted(bundle, e.getCause());
            throw new BundleException(message, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BundleException("bundle " + bundle + ": interrupted while it was loaded", e);
        } finally {
            if (!joined) {
                leave(opening, hangs);
            }
        }
    }

    /** Gives up a share of what is loaded or being loaded. */
    private static void leave(Opening opening, boolean hangs) {
        synchronized (OPEN) {
            opening.users--;
            if (opening.users > 0) {
                return;
            }
            OPEN.remove(opening.key, opening);
        }
        if (hangs) {
            MicroBatcher.STUCK.incrementAndGet();
        }
        CompletableFuture<?> unused = opening.shared.whenComplete((shared, failure) -> {
            if (hangs) {
                MicroBatcher.STUCK.decrementAndGet();
            }
            if (shared != null) {
                shared.close();
            }
        });
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
        return submit(source, decoder -> decoder.decode(image), expired);
    }

    /** The same for a picture, which is released once it is fitted to the model's input. */
    public CompletableFuture<DenseResult> submit(String source, Picture picture, BooleanSupplier expired) {
        return submit(
                source,
                decoder -> {
                    DecodedFrame frame = decoder.fit(picture);
                    picture.release().run();
                    return frame;
                },
                expired);
    }

    private CompletableFuture<DenseResult> submit(
            String source, ServedModel.Decoding decoding, BooleanSupplier expired) {
        if (closed.get()) {
            throw new IllegalStateException("the service was closed");
        }
        return shared.submit(source, decoding, expired);
    }

    /** The pool that decodes; also for what callers do with a result, such as encoding it. */
    public Executor executor() {
        return shared.pool();
    }

    public ModelBundle bundle() {
        return shared.model().bundle();
    }

    /** The variant that runs. */
    public ModelBundle.Variant variant() {
        return shared.model().variant();
    }

    /** One line for people: model, variant, device, and why; see {@link DenseModel#describe}. */
    public String describe() {
        return shared.model().describe() + ", decoding on " + shared.pool().size() + " threads";
    }

    /** Most frames of one call of the model. */
    public int maxBatch() {
        return shared.model().maxBatch();
    }

    /** Calls of the model that run at a time. */
    public int calls() {
        return shared.model().lanes();
    }

    /** Frames a caller should have submitted and unanswered: two batches more than run at a time, so that nothing idles. */
    public int preferredInFlight() {
        return (calls() + 2) * maxBatch();
    }

    /** How the model and its decoders have fared so far, for all callers together. */
    public ModelHealth health() {
        return shared.health();
    }

    /** Gives up this caller's share; the last one ends the threads and frees the model. */
    @Override
    public void close() {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        leave(opening, false);
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

    /** A service on its way, or there, and how many have it or wait for it. */
    private static final class Opening {
        private final Key key;
        private final CompletableFuture<ServedModel> shared = new CompletableFuture<>();
        private int users;

        Opening(Key key) {
            this.key = key;
        }

        /** Loads the bundle on a thread of its own. */
        void load(ModelBundle bundle, boolean beside) {
            Thread loading = new Thread(
                    () -> {
                        try {
                            if (beside) {
                                DenseModel.requireRoom(bundle, key.options().model());
                            }
                            shared.complete(new ServedModel(
                                    key.options(),
                                    DenseModel.load(bundle, key.options().model(), CALLS_ON_GPU)));
                        } catch (Throwable e) { // whoever waits has to hear of it
                            if (e.getCause() instanceof DeviceLostException lost) {
                                ServedModel.endProcess(String.valueOf(lost.getMessage()));
                            }
                            shared.completeExceptionally(e);
                        }
                    },
                    "uplift-load");
            loading.setDaemon(true);
            loading.start();
        }
    }
}
