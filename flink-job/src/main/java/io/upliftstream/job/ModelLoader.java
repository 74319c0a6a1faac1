package io.upliftstream.job;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
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
        long millis = settings.get(ControlOptions.LOAD_TIMEOUT).toMillis();
        CompletableFuture<Path> fetched = inThread(
                "uplift-fetch",
                () -> model.isConfigured() ? settings.bundle() : store.fetch(model, keep),
                unused -> {});
        return fetched.orTimeout(millis, TimeUnit.MILLISECONDS)
                .thenCompose(path -> inThread("uplift-open", () -> opened(model, path), ServingModel::close)
                        .orTimeout(millis, TimeUnit.MILLISECONDS));
    }

    private ServingModel opened(Activation model, Path bundle) throws Exception {
        if (model.isConfigured()) {
            return configured();
        }
        List<HeadSpec> heads = ModelBundle.load(bundle).heads();
        Map<String, Integer> limits = control == null ? topicLimits : control.topicLimits(heads);
        return opener.open(model, settings.withBundle(bundle, model.sha256()), limits);
    }

    private static <T> CompletableFuture<T> inThread(String name, Callable<T> work, Consumer<T> unwanted) {
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
        if (cause instanceof TimeoutException) {
            return "bundle: not fetched, or not loaded, within %d s (expected: in time, %s)"
                    .formatted(
                            settings.get(ControlOptions.LOAD_TIMEOUT).toSeconds(), ControlOptions.LOAD_TIMEOUT.key());
        }
        boolean told = isSaid(cause) && !(cause instanceof IOException);
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

    private static Throwable stripped(Throwable failure) {
        return ExceptionUtils.stripCompletionException(ExceptionUtils.stripExecutionException(failure));
    }
}
