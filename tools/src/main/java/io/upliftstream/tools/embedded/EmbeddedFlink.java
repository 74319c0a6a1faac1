package io.upliftstream.tools.embedded;

import io.upliftstream.job.ServingOptions.AgeFrom;
import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.JobManagerOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.configuration.WebOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.graph.StreamGraph;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A Flink cluster in this JVM: one JobManager, one TaskManager, which has a successor if it fails. It listens on the
 * loopback address only, and its REST interface answers this process alone, unless Flink's page was asked for.
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
    private static final String LOOPBACK = "127.0.0.1";
    private static final long POLL_MILLIS = 50;
    private static final Duration METRICS_AGE = Duration.ofSeconds(1);

    private final String secret = UUID.randomUUID().toString();
    private final LocalCluster cluster;
    private final Configuration configuration;
    private final ScratchDirectory directory;

    /**
     * Prepares a cluster; the first job starts it, so that what cannot work is said before anything runs.
     *
     * @param given Flink options; they win over the ones set here, except those that open a door
     * @param slots how many parallel subtasks fit
     */
    public EmbeddedFlink(Configuration given, int slots) throws IOException {
        directory = ScratchDirectory.create("uplift-flink");
        configuration = new Configuration();
        configuration.set(RestOptions.BIND_PORT, "0");
        // Metrics are fetched when someone asks, and not more often than this.
        configuration.set(MetricOptions.METRIC_FETCHER_UPDATE_INTERVAL, METRICS_AGE);
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(64));
        configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
        configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(16));
        configuration.set(
                CheckpointingOptions.CHECKPOINTS_DIRECTORY,
                directory.path().toUri().toString());
        configuration.addAll(given);
        configuration.set(RestOptions.ADDRESS, LOOPBACK);
        configuration.set(RestOptions.BIND_ADDRESS, LOOPBACK);
        configuration.set(JobManagerOptions.BIND_HOST, LOOPBACK);
        configuration.set(TaskManagerOptions.BIND_HOST, LOOPBACK);
        configuration.set(RestGuard.SECRET, secret);
        configuration.set(WebOptions.SUBMIT_ENABLE, false);
        configuration.set(WebOptions.CANCEL_ENABLE, false);
        // Others may look into directories that Flink makes itself, and jobs with their settings lie there.
        configuration.set(CoreOptions.TMP_DIRS, directory.path().toString());
        configuration.set(WebOptions.TMP_DIR, directory.path().toString());
        FileSystems.load(configuration);
        cluster = new LocalCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(slots)
                .build());
    }

    /**
     * Has a cluster of this configuration serve its metrics to Prometheus.
     *
     * @param host name or address to listen on
     * @throws IOException if the port is taken there, of which Flink would say nothing
     */
    public static void reportMetrics(Configuration configuration, String host, int port) throws IOException {
        try (ServerSocket free = new ServerSocket()) {
            free.bind(new InetSocketAddress(host, port));
        }
        String reporter = "metrics.reporter.prom.";
        configuration.setString(reporter + "factory.class", LocalPrometheusReporter.Factory.class.getName());
        configuration.setString(reporter + LocalPrometheusReporter.Factory.HOST, host);
        configuration.setString(reporter + LocalPrometheusReporter.Factory.PORT, Integer.toString(port));
        // Otherwise two cameras whose names differ in other characters than letters of ASCII are one label.
        configuration.setString(reporter + "filterLabelValueCharacters", "false");
    }

    /** Has a cluster show Flink's page to browsers on this machine, without submission; port 0 is any free one. */
    public static void showPage(Configuration configuration, int port) {
        configuration.set(RestGuard.PAGE, true);
        configuration.set(RestOptions.BIND_PORT, Integer.toString(port));
    }

    /** An environment that builds a graph for {@link #submit}, or submits it itself, as Flink's Table API has it do. */
    public StreamExecutionEnvironment environment() {
        return new EmbeddedEnvironment(
                configuration, cluster, graph -> submit(graph).id());
    }

    /** Submits the graph that was built in an {@link #environment()}. */
    public Job submit(StreamExecutionEnvironment environment) throws IOException {
        return submit(environment.getStreamGraph());
    }

    private Job submit(StreamGraph graph) throws IOException {
        if (!cluster.isRunning()) {
            try {
                cluster.start();
            } catch (Exception e) {
                throw new IOException("embedded Flink did not start: " + e.getMessage(), e);
            }
        }
        return new Job(join(cluster.submitJob(graph)).getJobID());
    }

    /** Address of the REST interface, and of Flink's page if that was asked for. */
    public URI webPage() throws IOException {
        return join(cluster.getRestAddress());
    }

    /** A question to the REST interface, which answers this process. */
    public HttpRequest request(String path) throws IOException {
        return HttpRequest.newBuilder(webPage().resolve(path))
                .header(RestGuard.HEADER, secret)
                .build();
    }

    /** Where a cluster that runs a job listens, but for its metrics. */
    public String listeners() throws IOException {
        return "Flink at %s (%s) and at %s:%d (its files)"
                .formatted(
                        webPage().getAuthority(),
                        configuration.get(RestGuard.PAGE) ? "its page, to look at" : "answers this process alone",
                        LOOPBACK,
                        cluster.getClusterInformation().getBlobServerPort());
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
            while (!isRunning()) {
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

        /** Whether every task runs, and so has loaded its model. */
        public boolean isRunning() throws IOException {
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

        /**
         * How it goes, to be asked again and again.
         *
         * @param ageFrom what the job's settings count ages from
         */
        public JobProgress progress(AgeFrom ageFrom) throws IOException {
            String since =
                    switch (ageFrom) {
                        case RECORD -> "record";
                        case CAPTURE -> "capture";
                    };
            return new JobProgress(webPage().resolve("/jobs/" + id), secret, since);
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
         * Ends the job in order: what was read is finished and committed, then the job stops with a savepoint. Cancels it if
         * that takes too long or cannot be done.
         *
         * <p>Flink's Kafka source commits the group's offsets after a checkpoint, but not while it stops. So a checkpoint
         * goes first, for those who look at the group and for a next job without the savepoint.
         *
         * @param directory of the savepoint
         * @param drain whether nothing goes on from it: decoders let out what they hold back, as at the end of the input
         */
        public void stop(Duration patience, String directory, boolean drain) throws IOException {
            long deadline = System.nanoTime() + patience.toNanos();
            try {
                cluster.triggerCheckpoint(id).get(patience.toMillis(), TimeUnit.MILLISECONDS);
                cluster.stopWithSavepoint(id, directory, drain, SavepointFormatType.CANONICAL)
                        .get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                result.get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                cancel();
            } catch (ExecutionException | TimeoutException e) {
                LOG.warn("the job does not stop with a savepoint, cancelling it", e);
                cancel();
            }
        }

        /**
         * Of a job that has ended: how many frames came in and how they ended, by the names of the metrics. A job that was
         * started again after a failure counts from then on.
         */
        public Map<String, Long> totals() throws IOException {
            Map<String, Long> totals = new HashMap<>();
            try {
                for (var total : join(result).getAccumulatorResults().entrySet()) {
                    Object value = total.getValue()
                            .deserializeValue(EmbeddedFlink.class.getClassLoader())
                            .getUnchecked();
                    totals.put(total.getKey(), (Long) value);
                }
            } catch (ClassNotFoundException e) {
                throw new IllegalStateException("numbers are of a known class", e);
            }
            return totals;
        }

        /** How many TaskManagers of this process failed, each of which has a successor. */
        public int failedTaskManagers() {
            return cluster.replaced();
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
