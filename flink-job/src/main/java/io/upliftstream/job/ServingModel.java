package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.Picture;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.apache.flink.util.ExceptionUtils;
import org.jspecify.annotations.Nullable;

/**
 * A model that serves frames of one subtask, with what makes records of its answers. It is freed when it was retired and
 * its last frame has left. For the subtask's thread, but for the engine and the encoder.
 */
final class ServingModel {
    private final Activation activation;
    private final FrameEngine engine;
    private final RecordEncoder encoder;
    private final @Nullable ClaimCheck claimCheck;
    private final boolean live;
    private final @Nullable FrameSpans spans;
    private int atWork;
    private boolean retired;
    private boolean freed;

    /**
     * Takes the engine, and frees it; the claim check belongs to who made it.
     *
     * @param topicLimits the largest record of each topic in bytes, where it is known
     * @param claimCheck where large payloads go; null to leave all in their records
     */
    ServingModel(
            Activation activation,
            JobSettings settings,
            Map<String, Integer> topicLimits,
            Framing framing,
            FrameEngine engine,
            @Nullable ClaimCheck claimCheck) {
        this.activation = activation;
        this.engine = engine;
        this.claimCheck = claimCheck;
        live = settings.get(ServingOptions.MODE) == ServingOptions.Mode.LIVE;
        encoder = new RecordEncoder(settings, topicLimits, framing, engine.model(), engine.classNames(), claimCheck);
        spans = settings.tracingEndpoint()
                .map(endpoint -> new FrameSpans(endpoint, engine.model()))
                .orElse(null);
    }

    Activation activation() {
        return activation;
    }

    FrameEngine engine() {
        return engine;
    }

    RecordEncoder encoder() {
        return encoder;
    }

    /**
     * Starts work on a frame; {@link #end} has to be called when its outcome leaves.
     *
     * @param headsOff names of the heads whose records are not written
     */
    CompletableFuture<FrameOutcome> submit(Frame frame, AdmissionGate gate, List<String> headsOff) {
        Picture picture = frame.picture();
        CompletableFuture<DenseResult> inferred = picture == null
                ? engine.submit(frame.cameraId(), frame.image(), () -> !gate.inTime(frame))
                : engine.submit(frame.cameraId(), picture, () -> !gate.inTime(frame));
        ClaimCheck check = claimCheck;
        CompletableFuture<FrameOutcome> encoded = check == null
                ? inferred.thenApplyAsync(result -> encode(frame, without(headsOff, result)), engine.executor())
                : inferred.thenCompose(result -> check.run(() -> encode(frame, without(headsOff, result))));
        CompletableFuture<FrameOutcome> outcome = encoded.exceptionallyCompose(failure -> failed(frame, gate, failure));
        atWork++;
        return outcome;
    }

    private static DenseResult without(List<String> headsOff, DenseResult result) {
        if (headsOff.isEmpty()) {
            return result;
        }
        List<HeadOutput> heads = result.output().heads().stream()
                .filter(head -> !headsOff.contains(head.head().name()))
                .toList();
        return new DenseResult(new DenseOutput(heads), result.transform(), result.timings());
    }

    private FrameOutcome encode(Frame frame, DenseResult result) {
        try {
            return encoder.result(frame, result);
        } catch (FrameProblem problem) {
            throw new CompletionException(problem);
        }
    }

    private CompletableFuture<FrameOutcome> failed(Frame frame, AdmissionGate gate, Throwable failure) {
        Throwable cause = ExceptionUtils.stripCompletionException(failure);
        Reason dropped = null;
        if (cause instanceof FrameException late && late.reason() == FrameException.Reason.DEADLINE) {
            dropped = Reason.DEADLINE;
        } else if (live && cause instanceof ClaimCheck.Unavailable) {
            dropped = Reason.CLAIM_CHECK;
        }
        return dropped == null
                ? failure(frame.source(), frame, FrameProblem.of(cause))
                : CompletableFuture.completedFuture(encoder.dropped(Run.of(dropped, frame, gate.ageMillis(frame))));
    }

    /**
     * The record of a frame without a result. In live mode it is as if there were no claim check where that does not take
     * the original.
     *
     * @param frame null if the source could not be read so far
     */
    CompletableFuture<FrameOutcome> failure(RawFrame source, @Nullable Frame frame, FrameProblem problem) {
        ClaimCheck check = claimCheck;
        if (check == null || !check.takes(source.value())) {
            return CompletableFuture.completedFuture(encoder.failure(source, frame, problem));
        }
        CompletableFuture<FrameOutcome> recorded = check.run(() -> encoder.failure(source, frame, problem, check));
        return recorded.exceptionally(failure -> {
            if (live && ExceptionUtils.stripCompletionException(failure) instanceof ClaimCheck.Unavailable) {
                return encoder.failure(source, frame, problem);
            }
            throw failure instanceof CompletionException whole ? whole : new CompletionException(failure);
        });
    }

    /** A frame that went to the model has left. */
    void end() {
        atWork--;
        freeIfIdle();
    }

    /** Sends the spans of a frame that has ended. */
    void trace(FrameOutcome outcome) {
        if (spans != null) {
            spans.ended(outcome);
        }
    }

    /** No more frames come. */
    void retire() {
        retired = true;
        freeIfIdle();
    }

    /** Closing waits for the model's threads, and for a collector of spans: not on the subtask's thread. */
    private void freeIfIdle() {
        if (retired && atWork == 0 && !freed) {
            freed = true;
            Thread closing = new Thread(this::free, "uplift-close");
            closing.setDaemon(true);
            closing.start();
        }
    }

    boolean isFreed() {
        return freed;
    }

    /** Frees it now, whatever is at work. */
    void close() {
        if (!freed) {
            freed = true;
            free();
        }
    }

    private void free() {
        try {
            engine.close();
        } finally {
            if (spans != null) {
                spans.close();
            }
        }
    }
}
