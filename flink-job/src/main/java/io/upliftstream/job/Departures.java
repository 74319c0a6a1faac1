package io.upliftstream.job;

import io.upliftstream.job.CameraLanes.InFlight;
import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import java.time.Clock;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The way out: outcomes leave in the order of their camera, and each is counted and traced. For the subtask's thread. */
final class Departures {
    private static final Logger LOG = LoggerFactory.getLogger(Departures.class);

    /** Most cameras with an open run of drops: a hostile publisher may invent a camera for every frame. */
    private static final int MAX_RUNS = 1000;

    /** Milliseconds between two lines of the log about outcomes that no record tells of. */
    private static final long UNRECORDED_MILLIS = 60_000;

    private final CameraLanes lanes;
    private final MailboxExecutor mailbox;
    private final Clock clock;
    private final AdmissionGate gate;
    private final Quarantine quarantine;
    private final ModelSwitch models;
    private final JobMetrics jobMetrics;
    private final Consumer<OutputMessage> output;
    private final BooleanSupplier storeIsBusy;
    private final Runnable room;
    private final DropRuns drops = new DropRuns();
    private long nextUnrecordedWarning = Long.MIN_VALUE / 2;

    /**
     * @param storeIsBusy whether so many originals of failures are on their way to a store that no more should wait for it
     * @param room told when places became free
     */
    Departures(
            CameraLanes lanes,
            MailboxExecutor mailbox,
            Clock clock,
            AdmissionGate gate,
            Quarantine quarantine,
            ModelSwitch models,
            JobMetrics jobMetrics,
            Consumer<OutputMessage> output,
            BooleanSupplier storeIsBusy,
            Runnable room) {
        this.lanes = lanes;
        this.mailbox = mailbox;
        this.clock = clock;
        this.gate = gate;
        this.quarantine = quarantine;
        this.models = models;
        this.jobMetrics = jobMetrics;
        this.output = output;
        this.storeIsBusy = storeIsBusy;
        this.room = room;
    }

    /** A frame is at a model, which keeps a video's picture no longer than until it is in the model's size. */
    void atModel(Frame frame, CompletableFuture<FrameOutcome> outcome, ServingModel model) {
        drops.end(frame.cameraId()).ifPresent(this::dropped);
        long bytes = FairQueue.bytes(frame.picture() == null ? frame : frame.withoutImage());
        enter(frame.cameraId(), new InFlight(outcome, frame.source(), model, bytes, false));
    }

    /** @param frame null if the source could not be read so far */
    void failed(String cameraId, RawFrame source, @Nullable Frame frame, FrameProblem problem) {
        ServingModel model = models.serving();
        if (storeIsBusy.getAsBoolean()) { // waiting for it would hold up frames that need none
            enter(cameraId, InFlight.of(model.encoder().failure(source, frame, problem)));
            return;
        }
        CompletableFuture<FrameOutcome> outcome = model.failure(source, frame, problem);
        byte[] value = source.value();
        enter(
                cameraId,
                outcome.isDone() && !outcome.isCompletedExceptionally()
                        ? InFlight.of(outcome.join())
                        : new InFlight(outcome, null, null, value == null ? 0 : value.length, true));
    }

    void letGo(Reason reason, Frame frame) {
        drops.add(reason, frame, gate.ageMillis(frame)).ifPresent(this::dropped);
        if (drops.size() > MAX_RUNS) {
            endRuns();
        }
    }

    /** Ends the account of all that was let go. */
    void endRuns() {
        drops.endAll().forEach(this::dropped);
    }

    private void dropped(Run run) {
        enter(run.first().cameraId(), InFlight.of(models.serving().encoder().dropped(run)));
    }

    /** The outcome is emitted after all of its camera that entered before it, on the subtask's thread. */
    private void enter(String cameraId, InFlight frame) {
        lanes.enter(cameraId, frame);
        // The mailbox refuses the mail only when the task is being cancelled, and then nobody waits for the outcome.
        CompletableFuture<?> unused = frame.outcome()
                .whenComplete(
                        (done, failure) -> mailbox.execute(() -> emit(cameraId), "emit the outcomes of a camera"));
    }

    private void emit(String cameraId) {
        for (InFlight head = lanes.leave(cameraId); head != null; head = lanes.leave(cameraId)) {
            if (head.atModel() != null) {
                quarantine.end(head.atModel());
            }
            FrameOutcome outcome;
            try {
                outcome = head.outcome().join();
            } catch (CompletionException e) { // where not a frame but the process is at fault
                SpoiltProcess.endIfSpoilt(e);
                throw e;
            }
            outcome.messages().forEach(output);
            ServingModel model = head.servedBy();
            (model == null ? models.serving() : model).trace(outcome);
            if (model != null) {
                model.end();
            }
            if (outcome instanceof FrameOutcome.Result result) {
                gate.waited(result.timings());
                jobMetrics.emitted(result, Math.max(0, gate.ageMillis(result.frame())));
            } else if (outcome instanceof FrameOutcome.Dropped dropped) {
                jobMetrics.emitted(dropped);
            } else if (outcome instanceof FrameOutcome.Failure failure) {
                jobMetrics.emittedFailure(failure.problem().reason());
                LOG.debug("no result: {}", outcome);
            }
            if (outcome.messages().isEmpty() && !(outcome instanceof FrameOutcome.Result)) {
                noteUnrecorded(outcome);
            }
        }
        room.run();
    }

    private void noteUnrecorded(FrameOutcome outcome) {
        jobMetrics.unrecorded();
        if (SteadyClock.elapsedMillis(clock) >= nextUnrecordedWarning) {
            nextUnrecordedWarning = SteadyClock.elapsedMillis(clock) + UNRECORDED_MILLIS;
            LOG.warn(
                    "no record fits the limit of its topic (expected: max.message.bytes of some kilobytes), and the metric"
                            + " frames.unrecorded counts the others: {}",
                    outcome);
        }
    }
}
