package io.upliftstream.model;

import io.upliftstream.model.FrameException.Reason;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A model with its decoders and its workers: the one instance behind all {@link DenseService}s with the same options. */
final class ServedModel implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ServedModel.class);

    static final String TWO_HANG = "two calls of the model hang, or of its decoders (expected: at most one)";

    /** A frame on its way to the model. */
    private record Decoded(DecodedFrame frame, long decodeNanos, long submitted, BooleanSupplier expired) {}

    /** What the model answered for a frame. */
    private record Answer(DenseOutput output, StageTimings timings) {}

    private final DenseModel model;
    private final FrameDecoder decoder;
    private final DecodePool pool;
    private final MicroBatcher<Decoded, Answer> batcher;

    ServedModel(ServiceOptions options, DenseModel model) {
        this.model = model;
        InputSpec input = model.bundle().input();
        decoder = new FrameDecoder(input, options.maxPixels());
        int cores = Runtime.getRuntime().availableProcessors();
        int threads = model.variant().device().equals("cpu") ? Math.max(2, cores / 4) : Math.max(2, cores);
        pool = new DecodePool(threads, options.decodeTimeout());
        batcher = new MicroBatcher<>(
                "uplift-model",
                model.lanes(),
                model.maxBatch(),
                options.queueCapacity(),
                options.timeout(),
                this::worker,
                decoded -> decoded.expired().getAsBoolean(),
                ServedModel::endProcess);
    }

    DenseModel model() {
        return model;
    }

    DecodePool pool() {
        return pool;
    }

    /** How the model and its decoders have fared so far, for all callers together. */
    ModelHealth health() {
        ModelHealth health = batcher.health();
        return new ModelHealth(health.hangs() + pool.hangs(), health.retries(), health.batchLimit());
    }

    /** How a frame becomes the model's input. */
    interface Decoding {
        DecodedFrame decode(FrameDecoder decoder) throws FrameException;
    }

    CompletableFuture<DenseResult> submit(String source, Decoding image, BooleanSupplier expired) {
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

    private Decoded decode(Decoding image, long submitted, BooleanSupplier expired) throws FrameException {
        if (expired.getAsBoolean()) {
            throw new FrameException(
                    Reason.DEADLINE, "the frame expired while it waited for a decoder (expected: its turn)");
        }
        long start = System.nanoTime();
        DecodedFrame frame = image.decode(decoder);
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
                        "head " + head.head().name()
                                + " has NaN or infinite numbers, or labels of no class (expected: finite ones)"));
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

    static void endProcess(String why) {
        System.err.printf("uplift: %s; ending with exit code %d%n", why, DenseService.HANGING);
        DenseService.exitAtOnce(DenseService.HANGING);
    }

    @Override
    public void close() {
        batcher.close();
        pool.close();
        if (MicroBatcher.stuck()) {
            LOG.warn("{} stays in memory: a call has not come back", model.bundle());
        } else {
            model.close();
        }
    }
}
