package io.upliftstream.tools.bench;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.bench.ScaleReport.Load;
import io.upliftstream.tools.bench.ScaleReport.Row;
import io.upliftstream.tools.bench.ScaleReport.Takeover;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.chaos.Checkout;
import io.upliftstream.tools.chaos.ClusterShape;
import io.upliftstream.tools.chaos.JvmProcess;
import io.upliftstream.tools.chaos.ProcessCluster;
import io.upliftstream.tools.picture.FreshFile;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.jspecify.annotations.Nullable;

/**
 * What a job takes for one camera, and for a thousand: broker, JobManager and TaskManagers are processes of their own, so
 * that the processor time of each is known; publisher, subscriber and account are in this one. Numbers of cameras take turns
 * on a job that runs on, which a camera is but a name to.
 */
public final class ScaleBench {
    private static final int IMAGES = 16;
    private static final int REFERENCE_CAMERAS = 10;
    /** Frames of as many seconds warm a job up, as fast as it takes them. */
    private static final double WARM_UP = 2;
    /** How long a frame has the idle engine's device under overload, and how much more is sent than that takes. */
    private static final long SERVICE_MILLIS = 5;

    private static final double OVERLOAD = 2;
    /** Rounds of overload, so that every camera has results to be compared. */
    private static final int OVERLOAD_ROUNDS = 3;

    private final ScaleOptions options;
    private final ProcessCluster cluster;
    private final Admin admin;
    private List<JvmProcess> taskManagers;
    private final List<Shot> shots;
    private final Set<String> heads;
    private final Consumer<String> say;
    private final List<Row> rows = new ArrayList<>();
    private final List<Takeover> takeovers = new ArrayList<>();
    private @Nullable Double heapKilobytesPerCamera;
    private int jobs;

    private ScaleBench(
            ScaleOptions options, ProcessCluster cluster, Admin admin, Set<String> heads, Consumer<String> say)
            throws IOException {
        this.options = options;
        this.cluster = cluster;
        this.admin = admin;
        this.heads = heads;
        this.say = say;
        taskManagers = cluster.taskManagers();
        shots = pictures();
    }

    /**
     * Measures, writes the report into the output directory, and says on the way how it goes.
     *
     * @param ends is told, before anything is there, what ends the cluster and removes it at once, on whatever thread
     * @return whether every account held
     */
    public static boolean run(ScaleOptions options, Consumer<String> say, Consumer<Runnable> ends)
            throws IOException, BundleException, InterruptedException {
        JobSettings early = JobSettings.load(null, Map.of(), options.set()); // before anything starts
        ModelBundle bundle = options.idle() ? null : ModelBundle.load(early.bundle());
        Set<String> heads = bundle == null
                ? Set.of(IdleEngine.HEAD.name())
                : early.written(bundle.heads()).stream().map(HeadSpec::name).collect(Collectors.toSet());
        Checkout checkout = new Checkout(options.home(), List.of(), "io/upliftstream/tools/bench/Idle*.class");
        ClusterShape shape = new ClusterShape(1, 1, Collections.max(options.taskManagers()));
        say.accept("Starting broker, JobManager and " + shape.taskManagers() + " TaskManagers …");
        try (ProcessCluster cluster = ProcessCluster.start(
                        checkout, shape, Set.of(), FreshFile.directory(options.output(), "log"), ends);
                Admin admin = Admin.create(Map.of("bootstrap.servers", cluster.bootstrapServers()))) {
            say.accept("Listening: " + cluster.listeners());
            ScaleBench bench = new ScaleBench(options, cluster, admin, heads, say);
            bench.measure();
            ScaleReport report = bench.report(bundle == null ? "idle" : bundle.toString());
            report.write(options.output());
            say.accept(report.table());
            return report.accountsHold();
        }
    }

    private List<Shot> pictures() throws IOException {
        try (SyntheticCamera street =
                new SyntheticCamera("bench", 20_900, options.width(), options.height(), 10, 0.75)) {
            return street.take(IMAGES);
        }
    }

    private ScaleReport report(String engine) {
        double bytes =
                shots.stream().mapToInt(shot -> shot.image().length).average().orElseThrow();
        return new ScaleReport(
                Runtime.getRuntime().availableProcessors(),
                engine,
                String.format(Locale.ROOT, "%dx%d, %.0f KB", options.width(), options.height(), bytes / 1e3),
                options.rounds(),
                options.seconds(),
                heapKilobytesPerCamera,
                rows,
                takeovers);
    }

    private void measure() throws IOException, InterruptedException {
        int partitions = options.partitions().get(0);
        int processes = options.taskManagers().get(0);
        resize(processes);
        try (ScaleJob job = job(partitions, processes, Mode.LOSSLESS, 0)) {
            job.start(Double.POSITIVE_INFINITY);
            takeTurns(job, options.cameras());
            if (options.eachPerSecond() > 0) {
                int most = options.mostCameras();
                add(job.measure(Load.EACH, most, options.eachPerSecond() * most, options.seconds()));
            }
            takeOver(job, REFERENCE_CAMERAS < options.mostCameras() ? REFERENCE_CAMERAS : 1);
            takeOver(job, options.mostCameras());
        }
        overload(partitions, processes);
        for (int other : rest(options.partitions())) {
            compare(other, processes);
        }
        for (int other : rest(options.taskManagers())) {
            resize(other);
            compare(partitions, other);
        }
    }

    private static List<Integer> rest(List<Integer> all) {
        return all.subList(1, all.size());
    }

    private void compare(int partitions, int processes) throws IOException, InterruptedException {
        try (ScaleJob job = job(partitions, processes, Mode.LOSSLESS, 0)) {
            job.start(Double.POSITIVE_INFINITY);
            takeTurns(job, List.of(options.mostCameras()));
            takeOver(job, options.mostCameras());
        }
    }

    /** More than the job can take, in live mode: an idle engine is given a device that is slow, a model is slow itself. */
    private void overload(int partitions, int processes) throws IOException, InterruptedException {
        Double capacity = options.idle()
                ? Double.valueOf(processes * 1e3 / SERVICE_MILLIS)
                : takeovers.get(takeovers.size() - 1).resultsPerSecond();
        if (capacity == null) {
            say.accept("No overload: the start with a backlog did not show what the job can take");
            return;
        }
        try (ScaleJob job = job(partitions, processes, Mode.LIVE, SERVICE_MILLIS)) {
            job.start(capacity);
            add(job.measure(
                    Load.OVERLOAD, options.mostCameras(), OVERLOAD * capacity, OVERLOAD_ROUNDS * options.seconds()));
        }
    }

    private ScaleJob job(int partitions, int processes, Mode mode, long serviceMillis) throws IOException {
        List<String> assignments = new ArrayList<>(options.set());
        assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + cluster.bootstrapServers());
        assignments.add(ServingOptions.MODE.key() + "=" + mode);
        return new ScaleJob(
                cluster, admin, assignments, "scale-" + jobs++ + "-", partitions, processes, mode, serviceMillis, this);
    }

    /** The numbers of cameras one after the other, forth and back, so that none is always first. */
    private void takeTurns(ScaleJob job, List<Integer> cameras) throws IOException, InterruptedException {
        int last = cameras.size() - 1;
        List<List<Row>> rounds =
                cameras.stream().<List<Row>>map(count -> new ArrayList<>()).toList();
        for (int round = 0; round < options.rounds(); round++) {
            for (int turn = 0; turn <= last; turn++) {
                int which = round % 2 == 0 ? turn : last - turn;
                Row row = job.measure(Load.SHARED, cameras.get(which), options.framesPerSecond(), options.seconds());
                rounds.get(which).add(row);
                say.accept("round %d: %s".formatted(round + 1, describe(row)));
            }
        }
        int reference = Math.max(0, cameras.indexOf(REFERENCE_CAMERAS));
        for (int which = 0; which <= last; which++) {
            List<Row> each = rounds.get(which);
            rows.add(Row.median(each, which == reference ? List.of() : costs(each, rounds.get(reference))));
        }
        if (last > 0) {
            Row fewest = rounds.get(0).get(0);
            Row most = rounds.get(last).get(0);
            heapKilobytesPerCamera = LoadReport.round(1024
                    * (most.footprint().heapMegabytes() - fewest.footprint().heapMegabytes())
                    / (most.cameras() - fewest.cameras()));
        }
    }

    private static List<Double> costs(List<Row> rounds, List<Row> references) {
        return IntStream.range(0, rounds.size())
                .mapToObj(round -> rounds.get(round).flow().cpuMillis()
                        / references.get(round).flow().cpuMillis())
                .toList();
    }

    private void add(Row row) {
        rows.add(row);
        say.accept(describe(row));
    }

    private void takeOver(ScaleJob job, int cameras) throws IOException, InterruptedException {
        Takeover takeover = job.takeOver(cameras, options.backlog());
        takeovers.add(takeover);
        say.accept(String.format(
                Locale.ROOT,
                "started with %d frames of %d cameras waiting: first result after %s, all after %s%s",
                takeover.backlog(),
                cameras,
                ScaleReport.text("%.0f ms", takeover.firstMillis()),
                ScaleReport.text("%.0f ms", takeover.allMillis()),
                takeover.accountHolds() ? "" : " THE ACCOUNT DOES NOT HOLD"));
    }

    private static String describe(Row row) {
        return String.format(
                Locale.ROOT,
                "%s, %d cameras, %d partitions, %d TaskManagers: %.0f of %.0f frames/s, p50 %s p99 %s, %.2f ms of"
                        + " processor time each, %.1f MB, fairness %.3f%s",
                row.load().name().toLowerCase(Locale.ROOT),
                row.cameras(),
                row.partitions(),
                row.taskManagers(),
                row.flow().resultsPerSecond(),
                row.offered(),
                ScaleReport.text("%.0f ms", row.flow().p50()),
                ScaleReport.text("%.0f ms", row.flow().p99()),
                row.flow().cpuMillis(),
                row.footprint().heapMegabytes(),
                row.flow().fairness(),
                row.accountHolds() ? "" : " THE ACCOUNT DOES NOT HOLD");
    }

    /** Lets so many TaskManagers run, and no others. */
    private void resize(int count) throws IOException, InterruptedException {
        List<JvmProcess> all = cluster.taskManagers();
        for (JvmProcess process : all.subList(count, all.size())) {
            process.kill();
        }
        taskManagers = all.subList(0, count);
        for (JvmProcess process : taskManagers) {
            if (!process.alive()) {
                process.start();
            }
        }
        cluster.awaitTaskManagers(count);
    }

    ScaleOptions options() {
        return options;
    }

    List<Shot> shots() {
        return shots;
    }

    Set<String> heads() {
        return heads;
    }

    long warmUpFrames() {
        return Math.round(WARM_UP * options.seconds() * options.framesPerSecond());
    }

    /** Processor time so far in milliseconds: of the TaskManagers, of the broker, of this process. */
    double[] cpuMillis() {
        return new double[] {
            taskManagers.stream().mapToDouble(JvmProcess::cpuMillis).sum(),
            cluster.process("broker").cpuMillis(),
            JvmProcess.cpuMillis(ProcessHandle.current())
        };
    }

    double heapMegabytes() throws IOException {
        double megabytes = 0;
        for (JvmProcess process : taskManagers) {
            megabytes += process.liveMegabytes();
        }
        return megabytes;
    }
}
