package io.upliftstream.job;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.ModelBundle;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.apache.flink.util.ExceptionUtils;
import org.jspecify.annotations.Nullable;

/**
 * Makes models that can serve: the configured bundle at once, others on threads of their own, so that nothing that they
 * hang in holds up a frame. What comes after its time is freed.
 */
final class ModelLoader {
    /** Opens the bundle in the settings. */
    interface Opener {
        ServingModel open(Activation model, JobSettings settings, Map<String, Integer> topicLimits) throws Exception;
    }

    private final JobSettings settings;
    private final @Nullable ModelControl control;
    private final Map<String, Integer> topicLimits;
    private final Opener opener;
    private final BundleStore store;

    ModelLoader(JobSettings settings, @Nullable ModelControl control, Map<String, Integer> topicLimits, Opener opener) {
        this.settings = settings;
        this.control = control;
        this.topicLimits = topicLimits;
        this.opener = opener;
        store = new BundleStore(settings);
    }

    /** The bundle of the settings. */
    ServingModel configured() throws Exception {
        return opener.open(Activation.CONFIGURED, settings, topicLimits);
    }

    /**
     * Fetches a bundle, then loads it; each step has its time.
     *
     * @param keep hashes of the bundles that have to stay in the cache
     */
    CompletableFuture<ServingModel> load(Activation model, Collection<String> keep) {
        CompletableFuture<Path> fetched = model.isConfigured()
                ? CompletableFuture.completedFuture(settings.bundle())
                : named("fetched", store.fetch(model, keep));
        return fetched.thenCompose(path -> named(
                "loaded, checked and warm",
                inThread("uplift-open", () -> opened(model, path), ServingModel::close)
                        .orTimeout(settings.get(ControlOptions.LOAD_TIMEOUT).toMillis(), TimeUnit.MILLISECONDS)));
    }

    /** The step, which says what it was when its time is over. */
    private <T> CompletableFuture<T> named(String done, CompletableFuture<T> step) {
        return step.exceptionallyCompose(failure -> CompletableFuture.failedFuture(
                stripped(failure) instanceof TimeoutException
                        ? new TimeoutException("bundle: not %s within %d s (expected: in time, %s)"
                                .formatted(
                                        done,
                                        settings.get(ControlOptions.LOAD_TIMEOUT)
                                                .toSeconds(),
                                        ControlOptions.LOAD_TIMEOUT.key()))
                        : failure));
    }

    private ServingModel opened(Activation model, Path bundle) throws Exception {
        ModelBundle found = ModelBundle.load(bundle);
        JobSettings pinned = settings;
        if (!model.sha256().isEmpty()) { // of the configured bundle, a state of version 1 has none
            if (!found.sha256().equals(model.sha256())) {
                throw new RefusedException("bundle %s: SHA-256 of manifest.json is %s (expected: %s, as it served)"
                        .formatted(bundle, found.sha256(), model.sha256()));
            }
            pinned = settings.withBundle(bundle, model.sha256());
        }
        return opener.open(
                model,
                pinned,
                control == null || model.isConfigured() ? topicLimits : control.topicLimits(found.heads()));
    }

    /** Does it on a thread that nobody waits for; what comes when the result is no longer wanted is given away. */
    static <T> CompletableFuture<T> inThread(String name, Callable<T> work, Consumer<T> unwanted) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread thread = new Thread(
                () -> {
                    try {
                        T found = work.call();
                        if (!result.complete(found)) {
                            unwanted.accept(found);
                        }
                    } catch (Throwable e) { // whoever waits has to hear of it
                        result.completeExceptionally(e);
                    }
                },
                name);
        thread.setDaemon(true);
        thread.start();
        return result;
    }

    /** Why it did not come to a model, in one sentence. */
    String reason(Throwable failure) {
        Throwable cause = stripped(failure);
        boolean told = cause instanceof TimeoutException || (isSaid(cause) && !(cause instanceof IOException));
        return told ? String.valueOf(cause.getMessage()) : cause.toString();
    }

    /** Whether it is known what is wrong with the bundle, or where it should be: another try would end as this one. */
    static boolean isSaid(Throwable failure) {
        Throwable cause = stripped(failure);
        return cause instanceof RefusedException
                || cause instanceof StartupException
                || cause instanceof BundleException
                || cause instanceof FileNotFoundException;
    }

    /** Whether a bundle's store failed, which another try may find well again. */
    static boolean isStoreAway(Throwable failure) {
        return stripped(failure) instanceof IOException && !isSaid(failure);
    }

    private static Throwable stripped(Throwable failure) {
        return ExceptionUtils.stripCompletionException(ExceptionUtils.stripExecutionException(failure));
    }
}
