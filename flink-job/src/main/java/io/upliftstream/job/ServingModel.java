package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.DenseOutput;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.HeadOutput;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.jspecify.annotations.Nullable;

/**
 * A model that serves frames of one subtask, with what makes records of its answers. It is freed when it was retired and
 * its last frame has left. For the subtask's thread, but for the engine and the encoder.
 */
final class ServingModel {
    private final Activation activation;
    private final FrameEngine engine;
    private final RecordEncoder encoder;
    private final @Nullable FrameSpans spans;
    private int atWork;
    private boolean retired;
    private boolean freed;

    ServingModel(Activation activation, JobSettings settings, Map<String, Integer> topicLimits, FrameEngine engine) {
        this.activation = activation;
        this.engine = engine;
        encoder = new RecordEncoder(settings, topicLimits, engine.model(), engine.classNames());
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
        CompletableFuture<FrameOutcome> outcome = engine.submit(
                        frame.cameraId(), frame.image(), () -> !gate.inTime(frame))
                .thenApplyAsync(result -> encode(frame, without(headsOff, result)), engine.executor())
                .exceptionally(failure -> failed(frame, gate, failure));
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

    private FrameOutcome failed(Frame frame, AdmissionGate gate, Throwable failure) {
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        if (cause instanceof FrameException late && late.reason() == FrameException.Reason.DEADLINE) {
            return encoder.dropped(Run.of(Reason.DEADLINE, frame, gate.ageMillis(frame)));
        }
        return encoder.failure(frame.source(), frame, FrameProblem.of(cause));
    }

    /** A frame that went to the model has left. */
    void end() {
        atWork--;
        freeIfIdle();
    }

    /** Sends the spans of a frame that has ended. */
    void ended(FrameOutcome outcome) {
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
