package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/** Makes outcomes of what the model answered, or did not, beside the task thread and, if need be, its claim check. */
final class OutcomeEncoder {
    private final RecordEncoder encoder;
    private final @Nullable ClaimCheck claimCheck;
    private final Executor executor;
    private final AdmissionGate gate;
    private final boolean live;

    /**
     * @param claimCheck where large payloads go; null for nowhere
     * @param executor encodes where there is no claim check
     */
    OutcomeEncoder(
            RecordEncoder encoder,
            @Nullable ClaimCheck claimCheck,
            Executor executor,
            AdmissionGate gate,
            boolean live) {
        this.encoder = encoder;
        this.claimCheck = claimCheck;
        this.executor = executor;
        this.gate = gate;
        this.live = live;
    }

    /** The outcome of a frame that went to the model. Fails where not the frame but the process or a store is at fault. */
    CompletableFuture<FrameOutcome> of(Frame frame, CompletableFuture<DenseResult> inferred) {
        ClaimCheck check = claimCheck;
        CompletableFuture<FrameOutcome> encoded = check == null
                ? inferred.thenApplyAsync(result -> encode(frame, result), executor)
                : inferred.thenCompose(result -> check.run(() -> encode(frame, result)));
        return encoded.exceptionallyCompose(failure -> failed(frame, failure));
    }

    private FrameOutcome encode(Frame frame, DenseResult result) {
        try {
            return encoder.result(frame, result);
        } catch (FrameProblem problem) {
            throw new CompletionException(problem);
        }
    }

    private CompletableFuture<FrameOutcome> failed(Frame frame, Throwable failure) {
        Throwable cause = cause(failure);
        if (cause instanceof FrameException late && late.reason() == FrameException.Reason.DEADLINE) {
            return dropped(Reason.DEADLINE, frame);
        } else if (live && cause instanceof ClaimCheck.Unavailable) {
            return dropped(Reason.CLAIM_CHECK, frame);
        }
        return failure(frame.source(), frame, FrameProblem.of(cause));
    }

    private CompletableFuture<FrameOutcome> dropped(Reason reason, Frame frame) {
        return CompletableFuture.completedFuture(encoder.dropped(Run.of(reason, frame, gate.ageMillis(frame))));
    }

    private static Throwable cause(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    /** A failure record; in live mode it is as if there were no claim check where that does not take the original. */
    CompletableFuture<FrameOutcome> failure(RawFrame source, @Nullable Frame frame, FrameProblem problem) {
        ClaimCheck check = claimCheck;
        if (check == null || !check.takes(source.value())) {
            return CompletableFuture.completedFuture(encoder.failure(source, frame, problem));
        }
        CompletableFuture<FrameOutcome> recorded = check.run(() -> encoder.failure(source, frame, problem, check));
        return recorded.exceptionally(failure -> {
            if (live && cause(failure) instanceof ClaimCheck.Unavailable) {
                return encoder.failure(source, frame, problem);
            }
            throw failure instanceof CompletionException whole ? whole : new CompletionException(failure);
        });
    }
}
