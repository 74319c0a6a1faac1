package io.upliftstream.tools.embedded;

import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.JobManagerOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A Flink cluster in this JVM: one JobManager, one TaskManager, the web page on a loopback port.
 *
 * <pre>{@code
 * try (EmbeddedFlink flink = new EmbeddedFlink(configuration, 2)) {
 *     StreamExecutionEnvironment env = flink.environment();
 *     … define the pipeline …
 *     EmbeddedFlink.Job job = flink.submit(env);
 * }
 * }</pre>
 *
 * Checkpoints go to a temporary directory that {@link #close()} deletes, unless the configuration names one.
 */
public final class EmbeddedFlink implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(EmbeddedFlink.class);
    private static final long POLL_MILLIS = 50;
    private static final Duration METRICS_AGE = Duration.ofSeconds(1);

    private final MiniCluster cluster;
    private final Configuration configuration;
    private final ScratchDirectory directory;

    /**
     * Prepares a cluster; the first job starts it, so that what cannot work is said before anything runs.
     *
     * @param given Flink options; they win over the ones set here. {@code rest.bind-port} moves the web page from
     *     a free port to a known one.
     * @param slots how many parallel subtasks fit
     */
    public EmbeddedFlink(Configuration given, int slots) throws IOException {
        directory = ScratchDirectory.create("uplift-flink");
        configuration = new Configuration();
        configuration.set(RestOptions.ADDRESS, "127.0.0.1");
        configuration.set(RestOptions.BIND_ADDRESS, "127.0.0.1");
        configuration.set(RestOptions.BIND_PORT, "0");
        // Whose servers would listen on every address.
        configuration.set(JobManagerOptions.BIND_HOST, "127.0.0.1");
        configuration.set(TaskManagerOptions.BIND_HOST, "127.0.0.1");
        // Metrics are fetched when someone asks, and not more often than this.
        configuration.set(MetricOptions.METRIC_FETCHER_UPDATE_INTERVAL, METRICS_AGE);
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(64));
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
        configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(16));
        configuration.set(
                CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                directory.path().toUri().toString());
        configuration.addAll(given);
        cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(slots)
                .build());
    }

    /** Has a cluster of this configuration serve its metrics to Prometheus, on every address of this machine. */
    public static void reportMetrics(Configuration configuration, int port) {
        configuration.setString(
                "metrics.reporter.prom.factory.class", "org.apache.flink.metrics.prometheus.PrometheusReporterFactory");
        configuration.setString("metrics.reporter.prom.port", Integer.toString(port));
    }

    /** An environment that builds a graph for {@link #submit}; its {@code execute} methods are of no use here. */
    public StreamExecutionEnvironment environment() {
        return new StreamExecutionEnvironment(configuration);
    }

    /** Submits the graph that was built in an {@link #environment()}. */
    public Job submit(StreamExecutionEnvironment environment) throws IOException {
        if (!cluster.isRunning()) {
            try {
                cluster.start();
            } catch (Exception e) {
                throw new IOException("embedded Flink did not start: " + e.getMessage(), e);
            }
        }
        return new Job(join(cluster.submitJob(environment.getStreamGraph())).getJobID());
    }

    /** Address of Flink's web page. */
    public URI webPage() throws IOException {
        return join(cluster.getRestAddress());
    }

    /** Stops the cluster (a job that still runs is cancelled) and deletes its directory. */
    @Override
    public void close() throws IOException {
        try {
            // Not to be interrupted: what runs on would write to the directory that goes next.
            cluster.closeAsync().join();
        } catch (CompletionException e) {
            throw new IOException("embedded Flink did not stop: " + e.getMessage(), e.getCause());
        } finally {
            directory.close();
        }
    }

    private static <T> T join(CompletableFuture<T> future) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            throw new IOException("embedded Flink: " + e.getMessage(), e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for embedded Flink", e);
        }
    }

    /** A job that was submitted to this cluster. */
    public final class Job {
        private final JobID id;
        private final CompletableFuture<JobResult> result;

        private Job(JobID id) {
            this.id = id;
            this.result = cluster.requestJobResult(id);
        }

        public JobID id() {
            return id;
        }

        public JobStatus status() throws IOException {
            return join(cluster.getJobStatus(id));
        }

        /**
         * Waits until every task runs.
         *
         * @throws IOException if the job ends before that; a {@link StartupException} in it is thrown as it is
         */
        public void awaitRunning() throws IOException {
            while (!running()) {
                throwIfEnded();
                try {
                    result.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
                } catch (TimeoutException | ExecutionException e) {
                    // The next round sees.
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new IOException("interrupted while the job starts", e);
                }
            }
        }

        private boolean running() throws IOException {
            if (result.isDone()) {
                return false;
            }
            var graph = join(cluster.getExecutionGraph(id));
            for (var vertex : graph.getAllExecutionVertices()) {
                if (vertex.getExecutionState() != ExecutionState.RUNNING) {
                    return false;
                }
            }
            return graph.getState() == JobStatus.RUNNING;
        }

        /**
         * Returns while the job has not ended.
         *
         * @throws IOException if it has, with the reason; a {@link StartupException} in it is thrown as it is
         */
        public void throwIfEnded() throws IOException {
            if (result.isDone()) {
                throw failure(join(result));
            }
        }

        /**
         * Waits until the job has done all it had to do.
         *
         * @throws IOException if it failed or was cancelled; a {@link StartupException} in it is thrown as it is
         */
        public void awaitEnd() throws IOException, InterruptedException {
            try {
                JobResult ended = result.get();
                if (!ended.isSuccess()) {
                    throw failure(ended);
                }
            } catch (ExecutionException e) {
                throw new IOException("the job cannot be watched any more: " + e.getMessage(), e);
            }
        }

        /**
         * Waits until the job has done all it had to do, but not longer than this.
         *
         * @return whether it has
         * @throws IOException if it failed or was cancelled; a {@link StartupException} in it is thrown as it is
         */
        public boolean awaitEnd(Duration patience) throws IOException, InterruptedException {
            try {
                result.get(patience.toMillis(), TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                return false;
            } catch (ExecutionException e) {
                // Says so below.
            }
            awaitEnd();
            return true;
        }

        /** How it goes, to be asked again and again. */
        public JobProgress progress() throws IOException {
            return new JobProgress(webPage().resolve("/jobs/" + id));
        }

        private static IOException failure(JobResult ended) {
            Throwable cause = ended.getSerializedThrowable()
                    .map(error -> error.deserializeError(EmbeddedFlink.class.getClassLoader()))
                    .orElse(null);
            Throwable root = cause;
            for (Throwable each = cause; each != null; each = each.getCause()) {
                if (each instanceof StartupException startup) {
                    throw startup;
                }
                root = each;
            }
            return new IOException(
                    "the job ended: "
                            + (root == null
                                    ? "state " + ended.getApplicationStatus()
                                    : String.valueOf(root.getMessage())),
                    cause);
        }

        /** Ends the job without a savepoint. */
        public void cancel() throws IOException {
            join(cluster.cancelJob(id));
            join(result);
        }

        /**
         * Ends the job in order: what was read is finished and committed, then the job stops. Cancels it if that takes too
         * long or cannot be done.
         *
         * <p>Flink's Kafka source commits the group's offsets after a checkpoint, but not while it stops. So a checkpoint
         * goes first, and only what is read between the two is read again by the next job of the group.
         */
        public void stop(Duration patience) throws IOException {
            try {
                cluster.triggerCheckpoint(id).get(patience.toMillis(), TimeUnit.MILLISECONDS);
                cluster.stopWithSavepoint(
                                id,
                                directory.path().resolve("savepoint").toUri().toString(),
                                false,
                                SavepointFormatType.CANONICAL)
                        .get(patience.toMillis(), TimeUnit.MILLISECONDS);
                join(result);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                cancel();
            } catch (ExecutionException | TimeoutException e) {
                LOG.warn("the job does not stop with a savepoint, cancelling it", e);
                cancel();
            }
        }

        /** How often a task was started again after a failure. */
        public int restarts() throws IOException {
            int restarts = 0;
            for (var vertex : join(cluster.getExecutionGraph(id)).getAllExecutionVertices()) {
                restarts += vertex.getCurrentExecutionAttempt().getAttemptNumber();
            }
            return restarts;
        }
    }
}
