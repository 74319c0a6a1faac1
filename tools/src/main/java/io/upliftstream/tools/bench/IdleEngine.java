package io.upliftstream.tools.bench;

import io.upliftstream.job.FrameEngine;
import io.upliftstream.model.DType;
import io.upliftstream.model.DecodedFrame;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.Fit;
import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.InputSpec;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.ModelIdentity;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;

/**
 * An engine without a model: frames are decoded on a pool, as in the product, and every one has the same labels, so that
 * what is left is the stream. The job's tests have an engine of their own, whose answers come when a test gives them.
 */
final class IdleEngine implements FrameEngine {
    static final int SIDE = 448;
    static final ModelIdentity MODEL = new ModelIdentity("none", "1", "0".repeat(64), "none");
    static final HeadSpec HEAD =
            new HeadSpec("segmentation", HeadKind.SEGMENTATION, 19, SIDE, SIDE, 1, DType.UINT8, null, false);
    private static final FrameDecoder DECODER =
            new FrameDecoder(new InputSpec(SIDE, SIDE, Fit.STRETCH, 1), FrameDecoder.DEFAULT_MAX_PIXELS);

    private final ExecutorService pool =
            threads(Math.max(2, Runtime.getRuntime().availableProcessors() / 4), "uplift-decode");
    private final ExecutorService device = threads(1, "uplift-device");
    private final long serviceMillis;

    /** An engine that answers at once. */
    IdleEngine() {
        this(0);
    }

    /** @param serviceMillis for which each frame, one after the other, has a device to itself that takes no processor time */
    IdleEngine(long serviceMillis) {
        this.serviceMillis = serviceMillis;
    }

    private static ExecutorService threads(int count, String name) {
        return Executors.newFixedThreadPool(count, task -> {
            Thread thread = new Thread(task, name);
            thread.setDaemon(true);
            return thread;
        });
    }

    @Override
    public CompletableFuture<DenseResult> submit(String cameraId, byte[] image, BooleanSupplier expired) {
        long submitted = System.nanoTime();
        CompletableFuture<DenseResult> answer = new CompletableFuture<>();
        pool.execute(() -> {
            try {
                DenseResult result = decode(image, submitted);
                if (serviceMillis == 0) {
                    answer.complete(result);
                } else {
                    device.execute(() -> serve(result, answer));
                }
            } catch (FrameException | RuntimeException e) {
                answer.completeExceptionally(e);
            }
        });
        return answer;
    }

    private void serve(DenseResult result, CompletableFuture<DenseResult> answer) {
        try {
            Thread.sleep(serviceMillis);
            answer.complete(result);
        } catch (InterruptedException e) { // the engine was closed
            answer.cancel(false);
        }
    }

    /** Decodes the image and answers with the labels. */
    static DenseResult decode(byte[] image, long submitted) throws FrameException {
        long start = System.nanoTime();
        DecodedFrame frame = DECODER.decode(image);
        DECODER.recycle(frame);
        DenseOutput output = new DenseOutput(List.of(new HeadOutput(HEAD, ByteBuffer.wrap(LABELS), null)));
        return new DenseResult(
                output, frame.transform(), new StageTimings(System.nanoTime() - start, start - submitted, 0, 0, 1));
    }

    /** Blocks of labels with ragged edges: about as many runs as a street has. */
    static final byte[] LABELS = labels();

    private static byte[] labels() {
        byte[] labels = new byte[SIDE * SIDE];
        for (int i = 0; i < labels.length; i++) {
            int x = i % SIDE;
            int y = i / SIDE;
            labels[i] = (byte) ((x + (y * 37 % 11)) / 40 * 7 % 19);
        }
        return labels;
    }

    @Override
    public Executor executor() {
        return pool;
    }

    @Override
    public ModelIdentity model() {
        return MODEL;
    }

    @Override
    public List<HeadSpec> heads() {
        return List.of(HEAD);
    }

    @Override
    public List<String> classNames() {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < HEAD.channels(); i++) {
            names.add("class " + i);
        }
        return names;
    }

    @Override
    public int maxBatch() {
        return 1;
    }

    @Override
    public ModelHealth health() {
        return new ModelHealth(0, 0, 1);
    }

    @Override
    public void close() {
        pool.shutdownNow();
        device.shutdownNow();
    }
}
