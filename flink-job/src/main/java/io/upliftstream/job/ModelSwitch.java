package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelOutcome;
import java.io.IOException;
import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Decides which model serves a frame, and carries out the commands that change it, one after the other. Another model is
 * fetched, loaded and checked on threads of its own beside the one that serves; what goes wrong with it is a refusal, and
 * no frame waits for it. For the subtask's thread, but for {@link #command}.
 *
 * <p>At most two models are there at once, and while the frames at a third one finish, that one.
 */
final class ModelSwitch implements ModelControl.Listener, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ModelSwitch.class);
    private static final int MAX_REASON = 1000;

    /** Hears what becomes of commands. */
    interface Events {
        /** The subtask's answer, but for the subtask. */
        void answer(ModelAnswer.Builder answer);

        /** This model serves frames now. */
        void serves(ServingModel model);
    }

    private final @Nullable ModelControl control;
    private final ModelLoader loader;
    private final MailboxExecutor mailbox;
    private final Clock clock;
    private final Events events;
    private final long keepMillis;

    private ControlState state;
    private @Nullable ServingModel serving;
    private @Nullable ServingModel next;
    /** When the last frame from before the next model's came, by {@link SteadyClock#elapsedMillis}. */
    private long lastBefore;

    /** Models that finish the frames they have. */
    private final List<ServingModel> retired = new ArrayList<>();

    private @Nullable CompletableFuture<ServingModel> loading;
    private @Nullable Runnable listening;
    private boolean ended;

    /** @param control null where the job takes no commands */
    ModelSwitch(
            JobSettings settings,
            @Nullable ModelControl control,
            Map<String, Integer> topicLimits,
            ControlState state,
            ModelLoader.Opener opener,
            MailboxExecutor mailbox,
            Clock clock,
            Events events) {
        this.control = control;
        this.state = state;
        loader = new ModelLoader(settings, control, topicLimits, opener);
        this.mailbox = mailbox;
        this.clock = clock;
        this.events = events;
        keepMillis = settings.get(ControlOptions.KEEP).toMillis();
    }

    /**
     * Loads the models that the state names, then takes commands.
     *
     * @throws StartupException if the model that served cannot be had: another one in its place would go unnoticed
     */
    void open() throws Exception {
        if (state.serving().isConfigured()) {
            serving = loader.configured();
            state = state.configured(serving.engine().model().getSha256());
        } else {
            serving = restored(state.serving());
        }
        events.serves(serving());
        if (control == null) {
            return;
        }
        Activation scheduled = state.next();
        if (scheduled != null) {
            next = restoredNext(scheduled);
            lastBefore = SteadyClock.elapsedMillis(clock);
        }
        listening = control.listen(state.offset(), this);
    }

    /** Waits for a model; whoever interrupts that closes this, and the model when it comes. */
    private ServingModel load(Activation model) throws ExecutionException, InterruptedException {
        loading = loader.load(model, state.hashes());
        ServingModel loaded = loading.get();
        loading = null;
        return loaded;
    }

    private ServingModel restored(Activation model) throws Exception {
        try {
            return load(model);
        } catch (ExecutionException e) {
            String sentence =
                    "the model that served, %s of command %s, cannot be had: %s (expected: as it was; --fresh, or no"
                            + " state, begins with the configured bundle)";
            String told = sentence.formatted(model.bundle(), model.commandId(), loader.reason(e));
            if (ModelLoader.isSaid(e)) {
                throw new StartupException(StartupException.ENVIRONMENT, told, e);
            }
            throw new IOException(told, e); // a store that is away for a while: the restart strategy tries again
        }
    }

    /**
     * The scheduled model; null if it never served and cannot be had.
     *
     * @throws IOException if its store is away: given up here, it might serve in other subtasks, which reached it
     */
    private @Nullable ServingModel restoredNext(Activation model) throws Exception {
        if (state.nextServes()) {
            ServingModel serves = restored(model);
            events.serves(serves);
            return serves;
        }
        try {
            return load(model);
        } catch (ExecutionException e) {
            if (ModelLoader.isStoreAway(e)) {
                String sentence = "the scheduled model, %s of command %s, cannot be fetched: %s (expected: a store that"
                        + " answers; the restart strategy tries again)";
                throw new IOException(sentence.formatted(model.bundle(), model.commandId(), loader.reason(e)), e);
            }
            refuse(model.commandId(), loader.reason(e), 0);
            state = state.scheduled(null);
            return null;
        }
    }

    /** The model that serves a frame. */
    ServingModel of(long captureTimeMicros) {
        if (next == null || state.next() == null) {
            return serving();
        }
        if (captureTimeMicros < state.next().fromMicros()) {
            lastBefore = SteadyClock.elapsedMillis(clock);
            return serving();
        }
        ServingModel model = next;
        if (!state.nextServes()) {
            state = state.nextServing();
            answer(model.activation().commandId(), ModelOutcome.ACTIVATED, model, null, 0);
            events.serves(model);
        }
        if (SteadyClock.elapsedMillis(clock) - lastBefore >= keepMillis) {
            take(model);
        }
        return model;
    }

    /** The model that serves, or, beside a next one, that serves the frames from before it. */
    ServingModel serving() {
        if (serving == null) {
            throw new IllegalStateException("not open");
        }
        return serving;
    }

    /** What the commands so far have come to. */
    ControlState state() {
        return state;
    }

    @Override
    public CompletableFuture<?> command(byte @Nullable [] value, long nextOffset) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        mailbox.execute(() -> carryOut(value, nextOffset, done), "carry out a command");
        return done;
    }

    private void carryOut(byte @Nullable [] value, long nextOffset, CompletableFuture<Void> done) {
        if (ended) { // nothing may be emitted any more
            return;
        }
        String id = "offset " + (nextOffset - 1);
        try {
            ModelCommand command = CommandReader.read(value);
            if (state.seen().contains(command.getId())) {
                throw new RefusedException(
                        "id: %s was seen before (expected: one of its own)".formatted(command.getId()));
            }
            id = command.getId();
            Activation wanted = wanted(command);
            if (wanted != null) {
                fetchAndTake(command, wanted, nextOffset, done);
                return;
            }
        } catch (RefusedException e) {
            refuse(id, String.valueOf(e.getMessage()), 0);
        }
        done(id, nextOffset, done);
    }

    /** The model to be loaded for a command; null if it is carried out without one. */
    private @Nullable Activation wanted(ModelCommand command) throws RefusedException {
        String id = command.getId();
        ServingModel newest = next != null && state.nextServes() ? next : serving();
        if (newest != serving() && command.getAction() != ModelAction.STATUS) {
            take(newest); // what is commanded now goes on from it
        }
        switch (command.getAction()) {
            case ACTIVATE -> {
                return new Activation(
                        id,
                        command.getBundle().orElseThrow(),
                        command.getSha256().orElseThrow(),
                        command.getFromCaptureTimeMicros().orElse(Activation.NOW));
            }
            case ROLL_BACK -> {
                if (next != null) {
                    giveUpNext();
                    state = state.scheduled(null);
                    answer(id, ModelOutcome.ROLLED_BACK, serving(), null, 0);
                    return null;
                }
                Activation previous = state.previous();
                if (previous == null) {
                    throw new RefusedException("model: none served before this one (expected: one to roll back to)");
                }
                return previous;
            }
            case HEAD_ON, HEAD_OFF -> {
                String head = command.getHead().orElseThrow();
                List<String> heads =
                        serving().engine().heads().stream().map(HeadSpec::name).toList();
                if (!heads.contains(head)) {
                    throw new RefusedException("head: %s (expected: one of %s)".formatted(head, heads));
                }
                state = state.head(head, command.getAction() == ModelAction.HEAD_ON);
                answer(id, ModelOutcome.CHANGED, serving(), null, 0);
            }
            default -> answer(id, ModelOutcome.SERVING, newest, null, 0);
        }
        return null;
    }

    private void fetchAndTake(ModelCommand command, Activation wanted, long nextOffset, CompletableFuture<Void> done) {
        long start = System.nanoTime();
        LOG.info("command {}: {} is fetched and loaded", command.getId(), BoundedText.oneLine(wanted.bundle()));
        CompletableFuture<ServingModel> load = loader.load(wanted, state.hashes());
        loading = load;
        CompletableFuture<?> unused = load.whenComplete((model, failure) -> {
            try {
                mailbox.execute(
                        () -> {
                            if (ended) {
                                return;
                            }
                            loading = null;
                            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
                            if (model != null) {
                                loaded(command, model, millis);
                            } else {
                                refuse(command.getId(), loader.reason(failure), millis);
                            }
                            done(command.getId(), nextOffset, done);
                        },
                        "take a model");
            } catch (RejectedExecutionException e) {
                LOG.debug("the task ends; stopListening() closes the model", e);
            }
        });
    }

    private void loaded(ModelCommand command, ServingModel model, long millis) {
        if (next != null && state.nextServes()) {
            take(next); // it began to serve while this one was loaded
        }
        giveUpNext();
        if (model.activation().fromMicros() != Activation.NOW) {
            next = model;
            state = state.scheduled(model.activation());
            lastBefore = SteadyClock.elapsedMillis(clock);
            answer(command.getId(), ModelOutcome.SCHEDULED, model, null, millis);
            return;
        }
        take(model);
        boolean back = command.getAction() == ModelAction.ROLL_BACK;
        answer(command.getId(), back ? ModelOutcome.ROLLED_BACK : ModelOutcome.ACTIVATED, model, null, millis);
        events.serves(model);
    }

    /** The model serves all frames; the one before finishes those it has. */
    private void take(ServingModel model) {
        retire(serving());
        serving = model;
        next = null;
        state = state.activated(model.activation());
    }

    private void retire(ServingModel model) {
        retired.removeIf(ServingModel::isFreed);
        retired.add(model);
        model.retire();
    }

    private void giveUpNext() {
        if (next != null) {
            retire(next);
            next = null;
        }
    }

    private void done(String id, long nextOffset, CompletableFuture<Void> done) {
        state = state.done(nextOffset, id);
        done.complete(null);
    }

    private void refuse(String id, String reason, long millis) {
        LOG.warn("command {} is refused, the model stays: {}", id, BoundedText.oneLine(reason));
        answer(id, ModelOutcome.REFUSED, serving(), BoundedText.start(reason, MAX_REASON), millis);
    }

    private void answer(String id, ModelOutcome outcome, ServingModel model, @Nullable String reason, long millis) {
        String name =
                model.engine().model().getName() + " " + model.engine().model().getVersion();
        if (reason == null) {
            LOG.info("command {}: {}, {}", id, outcome, name);
        }
        events.answer(ModelAnswer.newBuilder()
                .setCommandId(id)
                .setOutcome(outcome)
                .setModel(name)
                .setSha256(model.engine().model().getSha256())
                .setReason(reason)
                .setHeadsOff(state.headsOff())
                .setTimeMicros(TimeUnit.MILLISECONDS.toMicros(clock.millis()))
                .setLoadMillis(millis));
    }

    /** Takes no more commands; what is being loaded is let go. */
    void stopListening() {
        ended = true;
        if (listening != null) {
            listening.run();
            listening = null;
        }
        if (loading != null) {
            CompletableFuture<?> unused = loading.whenComplete((model, failure) -> {
                if (model != null) {
                    model.close();
                }
            });
            loading = null;
        }
    }

    @Override
    public void close() {
        stopListening();
        for (ServingModel model : new ServingModel[] {serving, next}) {
            if (model != null) {
                model.close();
            }
        }
        retired.forEach(ServingModel::close);
    }
}
