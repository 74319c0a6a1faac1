package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.DenseResult;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.jspecify.annotations.Nullable;

/**
 * Frames in, records out: parse, admit, infer, encode; every frame ends as exactly one {@link FrameOutcome}, and outcomes
 * leave in the order the frames came.
 *
 * <p>Inference and encoding run beside the task thread, at most {@code queue.capacity} frames at a time; a full queue
 * yields to the mailbox, so that the source stops polling and lag stays in Kafka. Nothing is kept in state: before a
 * checkpoint's barrier all frames in flight are finished and emitted, so that the source's offsets say everything.
 */
final class DenseInferenceOperator extends AbstractStreamOperator<OutputMessage>
        implements OneInputStreamOperator<RawFrame, OutputMessage> {
    private static final long CLOCK_TOLERANCE_MILLIS = 1000;

    /** Serialised with the job graph; makes one operator per subtask. */
    static final class Factory extends AbstractStreamOperatorFactory<OutputMessage>
            implements OneInputStreamOperatorFactory<RawFrame, OutputMessage> {
        private final JobSettings settings;
        private final Map<String, Integer> topicLimits;
        private final FrameEngine.Factory engines;
        private final Clock clock;

        /** @param clock serialisable, such as {@link Clock#systemUTC()} */
        Factory(JobSettings settings, Map<String, Integer> topicLimits, FrameEngine.Factory engines, Clock clock) {
            this.settings = settings;
            this.topicLimits = topicLimits;
            this.engines = engines;
            this.clock = clock;
        }

        @Override
        @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"})
        public <T extends StreamOperator<OutputMessage>> T createStreamOperator(
                StreamOperatorParameters<OutputMessage> parameters) {
            return (T) new DenseInferenceOperator(this, parameters);
        }

        @Override
        @SuppressWarnings("rawtypes")
        public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
            return DenseInferenceOperator.class;
        }
    }

    private final transient Factory factory;
    private final transient MailboxExecutor mailbox;
    private final transient FrameParser parser;
    private final transient AdmissionGate gate;
    private final transient DropRuns drops = new DropRuns();
    private final transient Queue<CompletableFuture<? extends FrameOutcome>> inFlight = new ArrayDeque<>();
    private final transient Set<String> camerasAheadOfClock = new HashSet<>();
    private final transient Duration timeout;

    // from open() on
    private transient @Nullable FrameEngine openEngine;
    private transient FrameEngine engine;
    private transient RecordEncoder encoder;
    private transient JobMetrics jobMetrics;
    private transient int capacity;

    @SuppressWarnings("NullAway.Init")
    private DenseInferenceOperator(Factory factory, StreamOperatorParameters<OutputMessage> parameters) {
        super(parameters);
        this.factory = factory;
        mailbox = parameters.getMailboxExecutor();
        JobSettings settings = factory.settings;
        timeout = settings.get(JobSettings.MODEL_TIMEOUT);
        parser = new FrameParser(
                settings.get(JobSettings.INPUT_FORMAT),
                settings.get(JobSettings.FRAME_MAX_BYTES).getBytes());
        gate = new AdmissionGate(
                settings.get(JobSettings.MODE),
                settings.get(JobSettings.MAX_AGE),
                settings.get(JobSettings.AGE_FROM),
                factory.clock);
    }

    @Override
    public void open() throws Exception {
        super.open();
        engine = factory.engines.open(factory.settings);
        openEngine = engine;
        encoder = new RecordEncoder(factory.settings, factory.topicLimits, engine.model(), engine.classNames());
        int asked = factory.settings.get(JobSettings.QUEUE_CAPACITY);
        capacity = asked > 0 ? asked : engine.preferredInFlight();
        jobMetrics = new JobMetrics(getMetricGroup(), inFlight::size, capacity);
        LOG.info(
                "{}: at most {} frames in flight, of at most {} each",
                engine.model().getVariant(),
                capacity,
                factory.settings.get(JobSettings.FRAME_MAX_BYTES).toHumanReadableString());
    }

    @Override
    public void processElement(StreamRecord<RawFrame> element) throws Exception {
        jobMetrics.frameIn();
        awaitRoom(); // first: a frame's age counts when it is admitted
        RawFrame source = element.getValue();
        Frame frame;
        try {
            frame = parser.parse(source);
        } catch (FrameProblem problem) {
            enqueue(CompletableFuture.completedFuture(encoder.failure(source, null, problem)));
            return;
        }
        long ageMillis = gate.ageMillis(frame);
        noteClock(frame, ageMillis);
        if (!gate.admits(ageMillis)) {
            drops.add(frame, ageMillis);
            return;
        }
        drops.end(frame.cameraId()).ifPresent(this::enqueueDropped);
        enqueue(infer(frame));
    }

    private CompletableFuture<FrameOutcome> infer(Frame frame) {
        return engine.submit(frame.image())
                .orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS)
                .thenApplyAsync(result -> encode(frame, result), engine.executor())
                // Not on the executor: a time-out must get through even where the engine's threads are stuck.
                .exceptionally(failure -> encoder.failure(frame.source(), frame, FrameProblem.of(failure, timeout)));
    }

    private FrameOutcome encode(Frame frame, DenseResult result) {
        try {
            return encoder.result(frame, result);
        } catch (FrameProblem problem) {
            throw new CompletionException(problem);
        }
    }

    private void enqueueDropped(Run run) {
        enqueue(CompletableFuture.completedFuture(encoder.dropped(run)));
    }

    /** The outcome is emitted after all that were enqueued before it, on the task thread. */
    private void enqueue(CompletableFuture<? extends FrameOutcome> outcome) {
        inFlight.add(outcome);
        // The mailbox refuses the mail only when the task is being cancelled, and then nobody waits for the outcome.
        CompletableFuture<?> unused = outcome.whenComplete(
                (done, failure) -> mailbox.execute(this::emitFinished, "emit the outcomes of finished frames"));
    }

    private void emitFinished() {
        for (CompletableFuture<? extends FrameOutcome> head = inFlight.peek();
                head != null && head.isDone();
                head = inFlight.peek()) {
            inFlight.remove();
            FrameOutcome outcome = head.join(); // throws where not a frame but the process is at fault
            outcome.messages().forEach(message -> output.collect(new StreamRecord<>(message)));
            if (outcome instanceof FrameOutcome.Result result) {
                jobMetrics.emitted(result, Math.max(0, gate.ageMillis(result.frame())));
            } else if (outcome instanceof FrameOutcome.Dropped dropped) {
                jobMetrics.emittedDropped(dropped.count());
            } else {
                jobMetrics.emittedFailure();
            }
        }
    }

    private void awaitRoom() throws InterruptedException {
        if (inFlight.size() >= capacity) {
            long start = System.nanoTime();
            while (inFlight.size() >= capacity) {
                mailbox.yield();
            }
            jobMetrics.blocked(System.nanoTime() - start);
        }
    }

    private void drain() throws InterruptedException {
        drops.endAll().forEach(this::enqueueDropped);
        while (!inFlight.isEmpty()) {
            mailbox.yield();
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        drain();
    }

    @Override
    public void finish() throws Exception {
        drain();
        super.finish();
    }

    @Override
    public void close() throws Exception {
        if (openEngine != null) {
            openEngine.close();
            openEngine = null;
        }
        super.close();
    }

    private void noteClock(Frame frame, long ageMillis) {
        if (ageMillis < -CLOCK_TOLERANCE_MILLIS) {
            jobMetrics.frameAheadOfClock();
            if (camerasAheadOfClock.add(frame.cameraId())) {
                LOG.warn(
                        "camera {}: {} time is {} ms ahead of this machine's clock (expected: clocks that agree);"
                                + " ages of its frames are too low",
                        frame.cameraId(),
                        factory.settings.get(JobSettings.AGE_FROM),
                        -ageMillis);
            }
        }
    }
}
