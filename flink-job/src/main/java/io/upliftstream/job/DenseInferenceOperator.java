package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.job.ServingOptions.QueuePolicy;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SchemaRegistry;
import io.upliftstream.schemas.WireFormat;
import java.io.UncheckedIOException;
import java.time.Clock;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.common.state.BroadcastState;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.jspecify.annotations.Nullable;

/**
 * Frames in, records out: parse, wait for a turn, infer, encode; every frame ends as exactly one {@link FrameOutcome}, and
 * the outcomes of a camera leave in the order its frames came, and do not wait for those of another.
 *
 * <p>Inference and encoding run beside the task thread, at most {@code queue.capacity} frames at a time. In lossless mode
 * the next frame yields to the mailbox until there is room, so that the source stops polling and lag stays in Kafka. In
 * live mode frames are taken from Kafka as they come and wait here, where cameras take turns and what grows too old is let
 * go. No frame is kept in state: before a checkpoint's barrier all frames are finished and emitted, so that the source's
 * offsets say everything. Which model serves is, where the job takes commands, in broadcast state.
 */
final class DenseInferenceOperator extends AbstractStreamOperator<OutputMessage>
        implements OneInputStreamOperator<RawFrame, OutputMessage>, BoundedOneInput, ModelSwitch.Events {
    /** Serialised with the job graph; makes one operator per subtask. */
    static final class Factory extends AbstractStreamOperatorFactory<OutputMessage>
            implements OneInputStreamOperatorFactory<RawFrame, OutputMessage> {
        private final JobSettings settings;
        private final TopicLimits topicLimits;
        private final Framing framing;
        private final FrameEngine.Factory engines;
        private final Clock clock;
        private final @Nullable ModelControl control;
        private final PacketReader.Factory packets;

        /** Packets are read again from the input topic. */
        Factory(
                JobSettings settings,
                TopicLimits topicLimits,
                Framing framing,
                FrameEngine.Factory engines,
                Clock clock,
                @Nullable ModelControl control) {
            this(settings, topicLimits, framing, engines, clock, control, KafkaPackets::new);
        }

        /**
         * @param clock serialisable, such as {@link Clock#systemUTC()}
         * @param control null for no commands
         */
        Factory(
                JobSettings settings,
                TopicLimits topicLimits,
                Framing framing,
                FrameEngine.Factory engines,
                Clock clock,
                @Nullable ModelControl control,
                PacketReader.Factory packets) {
            this.packets = packets;
            this.control = control;
            this.framing = framing;
            this.settings = settings;
            this.topicLimits = topicLimits;
            this.engines = engines;
            this.clock = clock;
        }

        @Override
        @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"})
        public <T extends StreamOperator<OutputMessage>> T createStreamOperator(
                StreamOperatorParameters<OutputMessage> parameters) {
            try {
                return (T) new DenseInferenceOperator(this, parameters);
            } catch (StartupException e) {
                TaskInfo task = parameters.getContainingTask().getEnvironment().getTaskInfo();
                throw isAgain(task) ? new UncheckedIOException(e.mayPass()) : e;
            } catch (NoClassDefFoundError e) {
                SpoiltProcess.endIfSpoilt(e);
                throw e;
            }
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
    private final transient @Nullable SchemaRegistry registry;
    private final transient @Nullable InputSchemas inputSchemas;
    private final transient AdmissionGate gate;
    private final transient boolean live;
    private final transient long maxBytes;
    private final transient FairQueue waiting = new FairQueue();
    private final transient Quarantine quarantine;
    private final transient CameraLanes lanes = new CameraLanes();

    /** When a checkpoint has waited long enough for the frames that wait, as {@link #elapsedMillis} counts. */
    private transient long letGoAt = Long.MAX_VALUE;

    // set by initializeState()
    private transient @Nullable BroadcastState<String, byte[]> broadcast;
    private transient ControlState restored;
    private transient VideoState videoState;

    // set by open()
    private transient @Nullable ModelSwitch openModels;
    private transient ModelSwitch models;
    private transient JobMetrics jobMetrics;
    private transient Departures departures;
    private transient VideoWay way;
    private transient VideoStreams videos;
    private transient boolean watchesSilence;
    private transient int capacity;
    private transient @Nullable ClaimCheck claimCheck;

    /** Null where results do not wait for checkpoints. */
    private transient @Nullable TransactionAge transactions;

    @SuppressWarnings("NullAway.Init")
    private DenseInferenceOperator(Factory factory, StreamOperatorParameters<OutputMessage> parameters) {
        super(parameters);
        this.factory = factory;
        mailbox = parameters.getMailboxExecutor();
        JobSettings settings = factory.settings;
        live = settings.get(ServingOptions.MODE) == Mode.LIVE;
        quarantine = new Quarantine(
                settings::quarantineDirectory,
                settings.get(InputOptions.GROUP_ID),
                settings.get(ServingOptions.QUARANTINE_RESTARTS));
        maxBytes = settings.get(ServingOptions.QUEUE_MAX_BYTES).getBytes();
        registry = RegistryOptions.open(settings).orElse(null);
        inputSchemas = registry == null
                ? null
                : new InputSchemas(registry, RegistryOptions.waits(settings), factory.framing.ownId(), mailbox);
        parser = new FrameParser(
                settings.get(InputOptions.INPUT_FORMAT),
                settings.get(InputOptions.FRAME_MAX_BYTES).getBytes(),
                registry == null ? null : new RecordDecoder(registry));
        gate = new AdmissionGate(
                settings.get(ServingOptions.MODE),
                settings.get(ServingOptions.MAX_AGE),
                settings.get(ServingOptions.AGE_FROM),
                factory.clock);
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        try {
            videoState = new VideoState(context.getOperatorStateStore());
            if (factory.control == null) {
                restored = ControlState.startingAt("", 0);
            } else {
                broadcast = context.getOperatorStateStore().getBroadcastState(ControlState.DESCRIPTOR);
                restored = ControlState.read(broadcast, factory.control);
            }
        } catch (NoClassDefFoundError e) {
            SpoiltProcess.endIfSpoilt(e);
            throw e;
        }
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        if (broadcast != null) {
            models.state().write(broadcast);
        }
        videoState.write(videos.state());
    }

    @Override
    public void open() throws Exception {
        super.open();
        TaskInfo task = getRuntimeContext().getTaskInfo();
        try {
            open(isAgain(task));
        } catch (StartupException e) {
            SpoiltProcess.endIfSpoilt(e);
            throw isAgain(task) ? e.mayPass() : e;
        } catch (Throwable e) {
            SpoiltProcess.endIfSpoilt(e);
            throw e;
        }
    }

    private static boolean isAgain(TaskInfo task) {
        return task.getAttemptNumber() > 0;
    }

    private void open(boolean again) throws Exception {
        int asked = factory.settings.get(ServingOptions.QUEUE_CAPACITY);
        claimCheck = factory.settings
                .claimCheckDirectory()
                .map(directory -> new ClaimCheck(
                        directory,
                        factory.settings.get(OutputOptions.CLAIM_CHECK_ABOVE).getBytes(),
                        factory.settings.claimCheckPatience(),
                        asked > 0 ? asked : ClaimCheck.MAX_THREADS,
                        factory.clock))
                .orElse(null);
        models = new ModelSwitch(
                factory.settings,
                factory.control,
                factory.topicLimits.read(again),
                restored,
                this::serving,
                mailbox,
                factory.clock,
                this);
        openModels = models;
        jobMetrics = new JobMetrics(
                getMetricGroup(),
                () -> capacity,
                lanes::working,
                waiting::size,
                this::bytes,
                maxBytes,
                () -> models.serving().engine().health());
        departures = new Departures(
                lanes,
                mailbox,
                factory.clock,
                gate,
                quarantine,
                models,
                jobMetrics,
                message -> output.collect(new StreamRecord<>(message)),
                () -> live && lanes.storing() >= capacity,
                this::moved);
        boolean latestOnly = live && factory.settings.get(ServingOptions.QUEUE_POLICY) == QueuePolicy.LATEST_ONLY;
        way = new VideoWay(live, latestOnly, waiting, lanes, departures, quarantine, gate, jobMetrics, this::moved);
        videos = new VideoStreams(factory.settings, parser, mailbox, factory.packets, factory.clock, way);
        videos.restore(videoState.restore());
        jobMetrics.decodes(getMetricGroup(), videos);
        if (claimCheck != null) {
            jobMetrics.writes(getMetricGroup(), claimCheck);
        }
        if (registry != null && inputSchemas != null) {
            jobMetrics.asks(getMetricGroup(), registry, inputSchemas::isWaiting);
        }
        models.open();
        transactions = factory.settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE
                ? new TransactionAge(factory.settings.transactionMaxAge(), System::nanoTime)
                : null;
    }

    private ServingModel serving(Activation activation, JobSettings served, Map<String, Integer> limits)
            throws Exception {
        return new ServingModel(
                activation,
                served,
                limits,
                factory.framing,
                factory.engines.open(served, getRuntimeContext()),
                claimCheck);
    }

    @Override
    public void serves(ServingModel model) {
        FrameEngine engine = model.engine();
        int asked = factory.settings.get(ServingOptions.QUEUE_CAPACITY);
        // Beside the batches that are computed lossless keeps two ready, live one: it prefers to choose late.
        capacity = asked > 0 ? asked : (engine.calls() + (live ? 1 : 2)) * engine.maxBatch();
        jobMetrics.serves(engine.model().getSha256(), engine.model().getVariant());
        LOG.info("{}: at most {} frames at work", engine.model().getVariant(), capacity);
    }

    @Override
    public void answer(ModelAnswer.Builder answer) {
        TaskInfo task = getRuntimeContext().getTaskInfo();
        ModelAnswer whole = answer.setSubtask(task.getIndexOfThisSubtask())
                .setSubtasks(task.getNumberOfParallelSubtasks())
                .build();
        jobMetrics.answered(whole.getOutcome(), whole.getLoadMillis());
        output.collect(
                new StreamRecord<>(OutputMessage.answer(factory.settings.get(ControlOptions.ANSWERS_TOPIC), whole)));
    }

    @Override
    public void processElement(StreamRecord<RawFrame> element) throws Exception {
        RawFrame source = element.getValue();
        if (source.isAssignment()) {
            videos.assigned(source);
            watchSilence();
            return;
        }
        jobMetrics.frameIn();
        quarantine.arrived(source);
        byte[] value = source.value();
        if (inputSchemas != null && value != null && parser.needsSchema(value, source)) {
            jobMetrics.blocked(inputSchemas.await(WireFormat.id(value)));
        }
        Frame frame;
        try {
            frame = parser.parse(source);
        } catch (FrameProblem problem) {
            String cameraId = BoundedText.decode(source.key());
            departures.failed(cameraId == null ? "" : cameraId, source, null, problem);
            awaitRoom();
            return;
        } catch (NoClassDefFoundError e) {
            SpoiltProcess.endIfSpoilt(e);
            throw e;
        }
        long ageMillis = gate.ageMillis(frame);
        jobMetrics.arrived(Math.max(0, ageMillis));
        if (gate.isAheadOfClock(frame, ageMillis)) {
            jobMetrics.frameAheadOfClock();
        }
        lanes.arrived(frame.cameraId(), elapsedMillis());
        if (frame.packet() == null) {
            way.enqueue(frame);
        } else if (!videos.take(frame)) {
            departures.letGo(Reason.QUEUE_FULL, frame);
        }
        watchSilence();
        moved();
        awaitRoom();
    }

    /** Gives frames their turns at the model, and packets theirs at their decoders, while there is room. */
    private void moved() {
        dispatch();
        if (!videos.isEmpty()) {
            videos.step();
            dispatch();
        }
    }

    private void watchSilence() {
        if (!watchesSilence && !videos.isEmpty()) {
            watchesSilence = true;
            long every = Math.max(1, factory.settings.get(VideoOptions.IDLE).toMillis() / 2);
            ScheduledFuture<?> unused =
                    getProcessingTimeService().scheduleWithFixedDelay(time -> videos.checkSilence(), every, every);
        }
    }

    /** Gives frames their turns while there is room for them at the model. */
    private void dispatch() {
        if (letGoAt != Long.MAX_VALUE && elapsedMillis() >= letGoAt) {
            waiting.next(unused -> true, unused -> false, late -> departures.letGo(Reason.CHECKPOINT, late));
        }
        while (lanes.working() < places()) {
            Optional<Frame> next = waiting.next(
                    this::mayHaveAPlace,
                    frame -> gate.admits(frame, lanes.working() == 0),
                    stale -> departures.letGo(Reason.MAX_AGE, stale));
            if (next.isEmpty()) {
                return;
            }
            infer(next.get());
        }
    }

    /** How many frames may be at the model now: in quarantine one, and none beside a packet that is decoded. */
    private int places() {
        if (!quarantine.careful()) {
            return capacity;
        }
        return videos.working() > 0 ? 0 : 1;
    }

    /** A camera whose frames take long to decode would hold every place: in live mode it gets no more than half. */
    private boolean mayHaveAPlace(String cameraId) {
        return !live
                || lanes.working(cameraId) < Math.max(1, capacity / 2)
                || lanes.isAlone(cameraId, elapsedMillis() - gate.maxAgeMillis());
    }

    private void infer(Frame frame) {
        RawFrame source = frame.source();
        if (quarantine.holds(source)) {
            jobMetrics.frameQuarantined();
            departures.failed(frame.cameraId(), source, frame, FrameProblem.quarantined());
            return;
        }
        quarantine.begin(source);
        ServingModel model = models.of(frame.captureTimeMicros());
        departures.atModel(frame, model.submit(frame, gate, models.state().headsOff()), model);
    }

    /** Waits until the next frame may come. */
    private void awaitRoom() throws InterruptedException {
        if (live) {
            while (bytes() > maxBytes && !waiting.isEmpty()) {
                departures.letGo(Reason.QUEUE_FULL, waiting.oldestOfLargest().orElseThrow());
            }
            while (waiting.bytes() + videos.bytes() > maxBytes && videos.makeRoom()) {
                videos.step();
            }
        }
        if (mustWait()) {
            long start = System.nanoTime();
            while (mustWait()) {
                mailbox.yield();
            }
            jobMetrics.blocked(System.nanoTime() - start);
        }
    }

    private long elapsedMillis() {
        return SteadyClock.elapsedMillis(factory.clock);
    }

    private long bytes() {
        return waiting.bytes() + lanes.bytes() + videos.bytes();
    }

    private boolean mustWait() {
        return lanes.bytes() > maxBytes
                || (!live && (!waiting.isEmpty() || videos.full() || lanes.storing() >= capacity));
    }

    private void drain() throws InterruptedException {
        long start = System.nanoTime();
        letGoAt = live ? elapsedMillis() + gate.maxAgeMillis() / 2 : Long.MAX_VALUE;
        moved();
        while (!lanes.isEmpty() || !videos.idle()) { // what waits is dispatched as these leave
            mailbox.yield();
        }
        letGoAt = Long.MAX_VALUE;
        departures.endRuns();
        while (!lanes.isEmpty()) {
            mailbox.yield();
        }
        jobMetrics.drained(System.nanoTime() - start);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) throws Exception {
        if (transactions != null) {
            transactions.begins(checkpointId);
        }
        drain();
    }

    @Override
    public void notifyCheckpointComplete(long checkpointId) throws Exception {
        super.notifyCheckpointComplete(checkpointId);
        if (transactions != null) {
            transactions.completed(checkpointId);
        }
        quarantine.checkpointed();
    }

    /** No frame comes any more, unlike where a job is stopped to go on later: pictures do not stay in their decoders. */
    @Override
    public void endInput() {
        videos.end();
    }

    @Override
    public void finish() throws Exception {
        models.stopListening(); // no input, no commands
        drain();
        super.finish();
    }

    @Override
    public void close() throws Exception {
        // The process lives: what made the job fail, if anything, was none of these frames.
        for (RawFrame frame : lanes.atModel()) {
            quarantine.end(frame);
        }
        if (videos != null) {
            for (RawFrame packet : videos.atWork()) {
                quarantine.end(packet);
            }
            videos.close();
        }
        if (openModels != null) {
            openModels.close();
            openModels = null;
        }
        if (claimCheck != null) {
            claimCheck.close();
            claimCheck = null;
        }
        if (jobMetrics != null) {
            jobMetrics.totals().forEach((name, total) -> getRuntimeContext()
                    .getLongCounter(name)
                    .add(total));
        }
        super.close();
    }
}
