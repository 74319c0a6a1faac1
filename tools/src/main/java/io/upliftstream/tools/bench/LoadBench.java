package io.upliftstream.tools.bench;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.Video;
import io.upliftstream.tools.embedded.EmbeddedFlink;
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
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.jspecify.annotations.Nullable;

/**
 * Latency, drops and throughput over the offered load. First the job's capacity and service time are measured, then every
 * policy is run under every load, open loop, with topics and a job of its own. The model stays loaded between runs.
 */
public final class LoadBench {
    private static final int SHOTS = 32;
    private static final int MIN_BACKLOG = 20;
    private static final int MAX_BACKLOG = 20_000;
    private static final long POLL_MILLIS = 100;
    /** Cameras whose shares are told one by one. */
    private static final int MAX_NAMED = 16;
    /** A run is given up after this long without a frame that ends. */
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    private final LoadOptions options;
    private final String bootstrapServers;
    private final Admin admin;
    private final EmbeddedFlink flink;
    private final Set<String> heads;
    private final List<Shot> shots;
    private final Consumer<String> say;
    private final String prefix = "uplift-bench-" + Long.toString(System.currentTimeMillis(), 36) + "-";
    private int jobs;

    private LoadBench(
            LoadOptions options,
            String bootstrapServers,
            Admin admin,
            EmbeddedFlink flink,
            Set<String> heads,
            Consumer<String> say)
            throws IOException {
        this.options = options;
        this.bootstrapServers = bootstrapServers;
        this.admin = admin;
        this.flink = flink;
        this.heads = heads;
        this.say = say;
        shots = shots();
    }

    /**
     * Measures, writes the report into the output directory, and says on the way how it goes.
     *
     * @return whether every account held
     */
    public static boolean run(LoadOptions options, Consumer<String> say)
            throws IOException, BundleException, InterruptedException {
        FrameTopics none = new FrameTopics("", options.partitions());
        String given = options.kafka() == null ? "localhost:0" : options.kafka();
        JobSettings early = settings(options, given, none, Mode.LOSSLESS, List.of()); // before anything starts
        ModelBundle bundle = ModelBundle.load(early.bundle());
        if (options.kafka() != null) {
            try (KafkaTopics topics = new KafkaTopics(early, ", which --kafka names")) {
                topics.requireListener();
            }
        }
        try (EmbeddedKafka own = options.kafka() == null ? EmbeddedKafka.start() : null) {
            String kafka = own == null ? String.valueOf(options.kafka()) : own.bootstrapServers();
            JobSettings settings = settings(options, kafka, none, Mode.LOSSLESS, List.of());
            Set<String> heads = settings.written(bundle.heads()).stream()
                    .map(HeadSpec::name)
                    .collect(Collectors.toSet());
            try (Admin admin = Admin.create(settings.kafkaProperties());
                    EmbeddedFlink flink =
                            new EmbeddedFlink(settings.flinkConfiguration(), settings.get(ServingOptions.PARALLELISM));
                    // Stays loaded while jobs come and go.
                    FrameEngine model = FrameEngine.ofBundle(settings)) {
                LoadBench bench = new LoadBench(options, kafka, admin, flink, heads, say);
                LoadReport report = bench.measure(
                        bundle.toString(), model.model().getVariant(), settings.get(ServingOptions.MAX_AGE));
                report.write(options.output());
                return report.runs().stream().allMatch(LoadReport.Run::accountHolds);
            }
        }
    }

    private static JobSettings settings(
            LoadOptions options, String kafka, FrameTopics topics, Mode mode, List<String> more) {
        List<String> assignments = new ArrayList<>(options.set());
        assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + kafka);
        assignments.add(ServingOptions.MODE.key() + "=" + mode);
        assignments.add("restart-strategy.type=disable");
        assignments.addAll(topics.assignments());
        assignments.addAll(more);
        return JobSettings.load(null, Map.of(), assignments);
    }

    /** Of video one group of pictures: its first alone is a key frame. */
    private List<Shot> shots() throws IOException {
        JpegFormat format = new JpegFormat(0.9, options.width(), options.height());
        Video video = options.packets() ? Video.ENCODED : Video.NONE;
        try (Camera street = new CameraSource("bench", "synthetic:20900").open(format, video)) {
            return street.take(SHOTS);
        }
    }

    private LoadReport measure(String model, String variant, Duration maxAge) throws IOException, InterruptedException {
        // Neither drops nor transactions: what the job can do.
        LoadReport.Latency service;
        double capacity;
        try (Job job = new Job(Mode.LOSSLESS, List.of(ServingOptions.DELIVERY.key() + "=at-least-once"))) {
            service = job.serviceTime();
            capacity = job.capacity(service);
        }
        say.accept(String.format(
                Locale.ROOT,
                "%s, %s: capacity %.2f frames/s; service time p50 %.1f p99 %.1f ms",
                model,
                variant,
                capacity,
                service.p50(),
                service.p99()));
        List<LoadReport.Run> runs = new ArrayList<>();
        for (Mode mode : options.modes()) {
            for (double load : options.loads()) {
                Double bound = mode == Mode.LIVE ? bound(service, maxAge) : null;
                try (Job job = new Job(mode, List.of())) {
                    LoadReport.Run run = job.run(load, load * capacity, bound);
                    runs.add(run);
                    say.accept(describe(run));
                }
            }
        }
        return new LoadReport(
                Runtime.getRuntime().availableProcessors(),
                model,
                variant,
                LoadReport.round(capacity),
                service,
                maxAge.toMillis(),
                runs);
    }

    private static @Nullable Double bound(LoadReport.Latency service, Duration maxAge) {
        return service.p99() == null ? null : LoadReport.round(maxAge.toMillis() + 3 * service.p99());
    }

    private static String describe(LoadReport.Run run) {
        Account.Balance balance = run.balance();
        return String.format(
                Locale.ROOT,
                "%-8s load %5.2f: %d published = %d results + %d drops + %d failures%s; %.2f results/s,"
                        + " latency p50 %.0f p99 %.0f ms%s%s",
                run.mode(),
                run.load(),
                balance.published(),
                balance.results(),
                balance.drops(),
                balance.failures(),
                run.accountHolds() ? "" : " DOES NOT HOLD: " + balance,
                run.throughput(),
                run.latency().p50(),
                run.latency().p99(),
                run.boundMillis() == null ? "" : String.format(Locale.ROOT, " (bound %.0f ms)", run.boundMillis()),
                served(run.served()));
    }

    /** Each camera's share, or of many the least, the most, and how even they are. */
    private static String served(Map<String, Double> shares) {
        return shares.size() <= MAX_NAMED
                ? shares.entrySet().stream()
                        .map(camera -> String.format(Locale.ROOT, " %s %.3f", camera.getKey(), camera.getValue()))
                        .collect(Collectors.joining(",", "; served:", ""))
                : String.format(
                        Locale.ROOT,
                        "; served: %.3f to %.3f of %d cameras' frames, fairness %.3f",
                        Collections.min(shares.values()),
                        Collections.max(shares.values()),
                        shares.size(),
                        Fairness.jain(shares.values()));
    }

    /** A job between topics of its own, and those who write and read them. */
    private final class Job implements AutoCloseable {
        private final Mode mode;
        private final FrameTopics topics;
        private final EmbeddedFlink.Job job;
        private final Subscriber subscriber;

        /** Starts a job and returns when frames of every camera have gone through it. */
        Job(Mode mode, List<String> more) throws IOException, InterruptedException {
            this.mode = mode;
            topics = new FrameTopics(prefix + jobs++ + "-", options.partitions());
            topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            JobSettings settings = settings(options, bootstrapServers, topics, mode, more);
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            job = flink.submit(env);
            job.awaitRunning();
            Account first = account();
            subscriber = new Subscriber(topics, settings, first);
            try (OpenLoop cameras = cameras(first)) {
                cameras.publish(Double.POSITIVE_INFINITY, turns().size());
                await(() -> {});
            }
        }

        private Account account() {
            return new Account(heads);
        }

        private OpenLoop cameras(Account account) {
            return new OpenLoop(bootstrapServers, topics, turns(), shots, account);
        }

        /** The cameras one after the other, the loud one's further frames spread between them. */
        private List<String> turns() {
            List<String> turns = new ArrayList<>();
            for (int camera = 1; camera < options.cameras(); camera++) {
                turns.add("camera-" + camera);
            }
            for (int i = 0; i < options.loud(); i++) {
                turns.add(i * (turns.size() + 1) / options.loud(), "camera-0");
            }
            return turns;
        }

        /** Waits until all frames have ended; if they do not, the account says what is missing. */
        private void await(Runnable meanwhile) throws IOException, InterruptedException {
            boolean unused = subscriber.awaitSettled(PATIENCE, () -> {
                meanwhile.run();
                job.throwIfEnded();
            });
        }

        private void check() throws IOException {
            job.throwIfEnded();
            subscriber.throwIfFailed();
        }

        LoadReport.Latency serviceTime() throws IOException, InterruptedException {
            Account account = account();
            subscriber.follow(account);
            try (OpenLoop cameras = cameras(account)) {
                for (int frame = 0; frame < options.serviceFrames(); frame++) {
                    cameras.publish(Double.POSITIVE_INFINITY, 1);
                    await(() -> {});
                }
            }
            return LoadReport.Latency.of(account);
        }

        double capacity(LoadReport.Latency service) throws IOException, InterruptedException {
            double alone = service.p50() == null ? Double.NaN : service.p50();
            long backlog = Math.round(options.capacitySeconds() * 1000 / Math.max(1, alone));
            backlog = Math.min(MAX_BACKLOG, Math.max(MIN_BACKLOG, backlog));
            Account account = account();
            subscriber.follow(account);
            try (OpenLoop cameras = cameras(account)) {
                cameras.publish(Double.POSITIVE_INFINITY, backlog);
                await(() -> {});
            }
            double seconds = Math.max(1, account.completedMillis(100) - account.completedMillis(10)) / 1e3;
            return 0.9 * backlog / seconds;
        }

        LoadReport.Run run(double load, double rate, @Nullable Double boundMillis)
                throws IOException, InterruptedException {
            Account account = account();
            subscriber.follow(account);
            long frames = Math.max(turns().size(), Math.round(rate * options.seconds()));
            List<ProcessSample> samples = new ArrayList<>();
            long startMillis = System.currentTimeMillis();
            Runnable sampling = () -> sample(samples, startMillis, account.open());
            long sentOpen;
            try (OpenLoop cameras = cameras(account)) {
                CompletableFuture<Void> published = cameras.publishing(rate, frames);
                while (!OpenLoop.isOver(published, POLL_MILLIS)) {
                    sampling.run();
                    check();
                }
                sentOpen = account.open();
                await(sampling);
            }
            Account.Balance balance = account.balance();
            return new LoadReport.Run(
                    mode.name().toLowerCase(Locale.ROOT),
                    load,
                    LoadReport.round(rate),
                    balance,
                    balance.exactlyOnce(),
                    LoadReport.round(balance.results() * 1e3 / Math.max(1, account.completedMillis(100) - startMillis)),
                    LoadReport.Latency.of(account),
                    boundMillis,
                    account.served(),
                    account.drops(),
                    Math.max(
                            sentOpen,
                            samples.stream()
                                    .mapToLong(ProcessSample::open)
                                    .max()
                                    .orElse(0)),
                    slope(samples, ProcessSample::residentOrNaN),
                    slope(samples, ProcessSample::threads),
                    samples);
        }

        private void sample(List<ProcessSample> samples, long startMillis, long open) {
            double seconds = (System.currentTimeMillis() - startMillis) / 1e3;
            if (seconds >= samples.size() * options.sampleSeconds()) {
                samples.add(ProcessSample.now(LoadReport.round(seconds), open));
            }
        }

        @Override
        public void close() throws IOException {
            try (subscriber) {
                job.cancel();
            }
            topics.delete(admin);
        }
    }

    private static @Nullable Double slope(List<ProcessSample> samples, ToDoubleFunction<ProcessSample> value) {
        double slope = ProcessSample.slopePerMinute(samples, value);
        return Double.isFinite(slope) ? LoadReport.round(slope) : null;
    }
}
