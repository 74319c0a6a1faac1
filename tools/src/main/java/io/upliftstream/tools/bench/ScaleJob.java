package io.upliftstream.tools.bench;

import com.fasterxml.jackson.databind.JsonNode;
import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.tools.bench.ScaleReport.Load;
import io.upliftstream.tools.bench.ScaleReport.Row;
import io.upliftstream.tools.bench.ScaleReport.Takeover;
import io.upliftstream.tools.chaos.ProcessCluster;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.Fairness;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.jspecify.annotations.Nullable;

/** A job of {@link ScaleBench} between topics of its own, and those who write and read them. */
final class ScaleJob implements AutoCloseable {
    private static final long POLL_MILLIS = 100;
    /** Flink's metrics are those of the last question, a second old or more. */
    private static final long METRICS_MILLIS = 1500;
    /** They are asked for until two answers are alike, but not more often. */
    private static final int MAX_ANSWERS = 20;
    /** A run is given up after this long without a frame that ends. */
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    private final ProcessCluster cluster;
    private final Admin admin;
    private final FrameTopics topics;
    private final int processes;
    private final Mode mode;
    private final ScaleBench bench;
    private final String main;
    private final List<String> arguments = new ArrayList<>();
    private final Subscriber subscriber;
    private String id = "";
    /** When the first frame of the last run was due. */
    private long startMillis;

    ScaleJob(
            ProcessCluster cluster,
            Admin admin,
            List<String> assignments,
            String prefix,
            int partitions,
            int processes,
            Mode mode,
            long serviceMillis,
            ScaleBench bench)
            throws IOException {
        this.cluster = cluster;
        this.admin = admin;
        this.processes = processes;
        this.mode = mode;
        this.bench = bench;
        topics = new FrameTopics(prefix, partitions);
        topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
        List<String> settings = new ArrayList<>(assignments);
        settings.addAll(topics.assignments());
        settings.add(ServingOptions.PARALLELISM.key() + "=" + processes);
        main = (bench.options().idle() ? IdleJob.class : DenseVisionJob.class).getName();
        if (bench.options().idle()) {
            arguments.add(Long.toString(serviceMillis));
        }
        arguments.addAll(settings);
        // Results are read when they are appended, not when a checkpoint commits them: nothing is taken back here.
        settings.add(ServingOptions.DELIVERY.key() + "=at-least-once");
        subscriber = new Subscriber(topics, JobSettings.load(null, Map.of(), settings), account());
    }

    private Account account() {
        return new Account(bench.heads());
    }

    /** Starts the job and warms it up with as few cameras as there will be: as fast as it takes frames, or at a rate. */
    void start(double framesPerSecond) throws IOException, InterruptedException {
        id = cluster.flink().run(main, arguments, null);
        run(bench.options().cameras().get(0), framesPerSecond, bench.warmUpFrames());
    }

    /** Publishes frames, waits until all have ended, and says how. */
    private Account run(int cameras, double framesPerSecond, long frames) throws IOException, InterruptedException {
        Account account = account();
        subscriber.follow(account);
        try (OpenLoop publisher = publisher(cameras, account)) {
            startMillis = System.currentTimeMillis();
            CompletableFuture<Void> published = publisher.publishing(framesPerSecond, frames);
            while (!OpenLoop.isOver(published, POLL_MILLIS)) {
                subscriber.throwIfFailed();
            }
        }
        await();
        return account;
    }

    /** Waits until all frames have ended; if they do not, the account says what is missing. */
    private void await() throws IOException, InterruptedException {
        boolean unused = subscriber.awaitSettled(PATIENCE, () -> {});
    }

    private OpenLoop publisher(int cameras, Account account) {
        List<String> turns = IntStream.range(0, cameras)
                .mapToObj(camera -> "camera-" + camera)
                .toList();
        return new OpenLoop(cluster.bootstrapServers(), topics, turns, bench.shots(), account);
    }

    /** One load, with at least one frame of every camera. */
    Row measure(Load load, int cameras, double framesPerSecond, double seconds)
            throws IOException, InterruptedException {
        long frames = Math.max(cameras, Math.round(framesPerSecond * seconds));
        double[] before = bench.cpuMillis();
        Account account = run(cameras, framesPerSecond, frames);
        double[] after = bench.cpuMillis();
        Account.Balance balance = account.balance();
        double millis = Math.max(1, account.completedMillis(100) - startMillis);
        LoadReport.Latency latency = LoadReport.Latency.of(account);
        List<String> metrics = metrics();
        List<JsonNode> checkpoints = checkpoints(startMillis);
        return new Row(
                load,
                cameras,
                topics.partitions(),
                processes,
                LoadReport.round(framesPerSecond),
                null,
                new ScaleReport.Flow(
                        LoadReport.round(balance.results() * 1e3 / millis),
                        latency.p50(),
                        latency.p99(),
                        balance.results() == 0 ? null : LoadReport.round(millis - (frames - 1) * 1e3 / framesPerSecond),
                        LoadReport.round((after[0] - before[0]) / frames),
                        LoadReport.round((after[1] - before[1]) / frames),
                        LoadReport.round((after[2] - before[2]) / frames),
                        LoadReport.round(Fairness.jain(account.served().values())),
                        LoadReport.round((double) balance.drops() / frames)),
                new ScaleReport.Footprint(
                        LoadReport.round(bench.heapMegabytes()),
                        metrics.size(),
                        (int) metrics.stream()
                                .filter(name -> name.contains(".frames.camera."))
                                .count(),
                        LoadReport.round(
                                metrics.stream().mapToInt(String::length).sum() / 1e3),
                        largest(checkpoints, "checkpointed_size"),
                        largest(checkpoints, "end_to_end_duration")),
                balance.exactlyOnce() && balance.failures() == 0 && (mode == Mode.LIVE || balance.drops() == 0));
    }

    private static @Nullable Long largest(List<JsonNode> checkpoints, String field) {
        return checkpoints.isEmpty()
                ? null
                : checkpoints.stream()
                        .mapToLong(checkpoint -> checkpoint.path(field).asLong())
                        .max()
                        .getAsLong();
    }

    /** The names of all metrics of the job's tasks, as Flink's page has them: the subtask comes first. */
    private List<String> metrics() throws IOException, InterruptedException {
        List<String> paths = new ArrayList<>();
        for (JsonNode vertex : cluster.flink().get("/jobs/" + id).path("vertices")) {
            paths.add("/jobs/" + id + "/vertices/" + vertex.path("id").asText() + "/metrics");
        }
        List<String> before = names(paths);
        for (int answer = 0; answer < MAX_ANSWERS; answer++) {
            Thread.sleep(METRICS_MILLIS);
            List<String> names = names(paths);
            if (answer > 0 && names.equals(before)) {
                break;
            }
            before = names;
        }
        return before;
    }

    private List<String> names(List<String> paths) throws IOException, InterruptedException {
        List<String> names = new ArrayList<>();
        for (String path : paths) {
            names.addAll(cluster.flink().get(path).findValuesAsText("id"));
        }
        Collections.sort(names);
        return names;
    }

    /** The checkpoints since a time that Flink remembers. */
    private List<JsonNode> checkpoints(long sinceMillis) throws IOException, InterruptedException {
        List<JsonNode> checkpoints = new ArrayList<>();
        for (JsonNode checkpoint :
                cluster.flink().get("/jobs/" + id + "/checkpoints").path("history")) {
            if (checkpoint.path("status").asText().equals("COMPLETED")
                    && checkpoint.path("trigger_timestamp").asLong() >= sinceMillis) {
                checkpoints.add(checkpoint);
            }
        }
        return checkpoints;
    }

    /** Stops the job with a savepoint, lets frames come, as many of each camera, and starts it from there. */
    Takeover takeOver(int cameras, long atLeast) throws IOException, InterruptedException {
        long frames = (atLeast + cameras - 1) / cameras * cameras;
        String savepoint = cluster.flink()
                .stopWithSavepoint(id, cluster.directory().resolve("savepoints").toUri());
        Account account = account();
        subscriber.follow(account);
        try (OpenLoop publisher = publisher(cameras, account)) {
            publisher.publish(Double.POSITIVE_INFINITY, frames);
        }
        long start = System.currentTimeMillis();
        id = cluster.flink().run(main, arguments, savepoint);
        await();
        Account.Balance balance = account.balance();
        double first = account.completedMillis(0) - start;
        double all = account.completedMillis(100) - start;
        return new Takeover(
                cameras,
                topics.partitions(),
                processes,
                frames,
                balance.results() == 0 ? null : first,
                balance.results() == 0 ? null : all,
                balance.results() < 2
                        ? null
                        : LoadReport.round((balance.results() - 1) * 1e3 / Math.max(1, all - first)),
                balance.exactlyOnce() && balance.results() == frames);
    }

    @Override
    public void close() throws IOException {
        try (subscriber) {
            cluster.flink().cancel(id);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        topics.delete(admin);
    }
}
