package io.upliftstream.tools.embedded;

import io.upliftstream.model.DenseService;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.runtime.highavailability.HighAvailabilityServices;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Flink in this JVM, with one TaskManager at a time. Flink ends a TaskManager after a fatal error, such as a task that cannot
 * be closed while Kafka is away, and leaves it to whoever runs its processes to start another. Here that is this class.
 */
@SuppressWarnings("try") // its close() may be interrupted; closeAsync() is used
final class LocalCluster extends MiniCluster {
    private static final Logger LOG = LoggerFactory.getLogger(LocalCluster.class);

    private static final Duration BETWEEN_LOOKS = Duration.ofSeconds(2);

    /** So many looks in a row without a TaskManager, and it is gone: one that is new, or was slow, registers meanwhile. */
    private static final int LOOKS = 5;

    /** How long Flink lets a task take to end before that is a fatal error. */
    private static final Duration PATIENCE = TaskManagerOptions.TASK_CANCELLATION_TIMEOUT.defaultValue();

    private final ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "uplift-taskmanager-watch");
        thread.setDaemon(true);
        return thread;
    });
    private int missed;
    private boolean closing;
    private volatile int replaced;

    LocalCluster(MiniClusterConfiguration configuration) {
        super(configuration);
    }

    @Override
    protected HighAvailabilityServices createHighAvailabilityServices(Configuration options, Executor executor)
            throws Exception {
        LocalHost.orLoopback(); // Flink asks for it next
        return super.createHighAvailabilityServices(options, executor);
    }

    @Override
    public void start() throws Exception {
        super.start();
        long millis = BETWEEN_LOOKS.toMillis();
        Object unused = watch.scheduleWithFixedDelay(this::look, millis, millis, TimeUnit.MILLISECONDS);
    }

    @Override
    public CompletableFuture<Void> closeAsync() {
        synchronized (this) {
            closing = true;
        }
        watch.shutdownNow();
        return super.closeAsync();
    }

    /** How many TaskManagers failed and have a successor. */
    int replaced() {
        return replaced;
    }

    private void look() {
        try {
            boolean there = getResourceOverview()
                            .get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)
                            .getNumberTaskManagers()
                    > 0;
            missed = there ? 0 : missed + 1;
            if (missed == LOOKS) {
                missed = 0;
                replace();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // the cluster closes
        } catch (Exception | OutOfMemoryError e) {
            LOG.warn("the TaskManager of this process cannot be looked after; trying again", e);
        }
    }

    /** Two at a time would share transactional ids and the memory that is for one. */
    private void replace() throws Exception {
        try {
            terminateTaskManager(replaced).get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            LOG.warn("the TaskManager of this process did not end in order", e);
        } catch (TimeoutException e) {
            LOG.error(
                    "the TaskManager of this process failed, and a task of it does not end (expected: within {} s); ending"
                            + " with exit code {}, for the process to be started again",
                    PATIENCE.toSeconds(),
                    DenseService.HANGING);
            DenseService.exit(DenseService.HANGING);
        }
        synchronized (this) {
            if (closing) {
                return;
            }
            startTaskManager();
            replaced++;
        }
        LOG.warn(
                "the TaskManager of this process failed, as the log says above; started another ({} so far)", replaced);
    }
}
