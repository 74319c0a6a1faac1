package io.upliftstream.tools.chaos;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.config.TopicConfig;

/**
 * Does faults to a cluster in random order while cameras send frames to it, and holds what came out against what went in.
 * Publisher, subscriber and account are in this process. The next fault waits until results of every camera come again and
 * every partition has all its copies.
 */
public final class Chaos {
    private static final int IMAGES = 8;
    private static final long POLL_MILLIS = 50;
    /** Runs of hours would fill the disks; by the oldest segment of each partition, since clocks are wrong at times. */
    private static final Map<String, String> TOPICS = Map.of(
            TopicConfig.MAX_MESSAGE_BYTES_CONFIG,
            Integer.toString(EmbeddedKafka.MAX_RECORD_BYTES),
            TopicConfig.RETENTION_BYTES_CONFIG,
            Integer.toString(128 << 20),
            TopicConfig.SEGMENT_BYTES_CONFIG,
            Integer.toString(16 << 20));
    /** A run is given up after this long without results. */
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    private final ChaosOptions options;
    private final ProcessCluster cluster;
    private final String job;
    private final Account account;
    private final Replicas replicas;
    private final Consumer<String> say;
    private final Random random;
    private final List<ChaosReport.Made> made = new ArrayList<>();

    private Chaos(
            ChaosOptions options,
            ProcessCluster cluster,
            String job,
            Account account,
            Replicas replicas,
            Consumer<String> say) {
        this.options = options;
        this.cluster = cluster;
        this.job = job;
        this.account = account;
        this.replicas = replicas;
        this.say = say;
        random = new Random(options.seed());
    }

    /**
     * Runs, writes the report, and says on the way how it goes.
     *
     * @param ends is told, before anything is there, what ends the cluster and removes it at once, on whatever thread
     * @return whether the account holds
     */
    public static boolean run(ChaosOptions options, Consumer<String> say, Consumer<Runnable> ends)
            throws IOException, BundleException, InterruptedException {
        FrameTopics topics = new FrameTopics("chaos-", options.cameras());
        say.accept("Starting " + String.join(", ", options.shape().processes()) + " …");
        try (ProcessCluster cluster = ProcessCluster.start(
                Checkout.shortLived(options.home()),
                options.shape(),
                options.kinds(),
                FreshFile.directory(options.output(), "log"),
                ends)) {
            say.accept("Listening: " + cluster.listeners());
            Map<String, String> leftOut = leftOut(cluster, options.kinds());
            leftOut.forEach((kind, reason) -> say.accept("Left out: " + kind + ": " + reason));
            List<String> arguments = new ArrayList<>(List.of(ServingOptions.QUARANTINE_DIRECTORY.key() + "="
                    + cluster.means().directory("quarantine").toUri()));
            arguments.addAll(options.set());
            arguments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + cluster.bootstrapServers());
            arguments.add(ServingOptions.MODE.key() + "=" + options.mode());
            arguments.add(
                    ServingOptions.PARALLELISM.key() + "=" + options.shape().taskManagers());
            arguments.addAll(topics.assignments());
            JobSettings settings = JobSettings.load(null, Map.of(), arguments);
            Set<String> heads = settings
                    .written(ModelBundle.load(settings.bundle()).heads())
                    .stream()
                    .map(HeadSpec::name)
                    .collect(Collectors.toSet());
            Account account = new Account(heads);
            List<String> cameras = IntStream.range(0, options.cameras())
                    .mapToObj(camera -> "camera-" + camera)
                    .toList();
            try (Admin admin = Admin.create(settings.kafkaProperties())) {
                topics.create(admin, TOPICS);
                String job = cluster.flink().run(arguments, null);
                try (Subscriber subscriber = new Subscriber(topics, settings, account, topics.prefix() + "reader");
                        OpenLoop publisher =
                                new OpenLoop(cluster.bootstrapServers(), topics, cameras, images(), account);
                        Watch watch = new Watch(cluster, job, account, heads.size());
                        Vitals vitals = new Vitals(cluster.processes())) {
                    Chaos chaos = new Chaos(options, cluster, job, account, new Replicas(admin, topics), say);
                    ChaosReport report = chaos.run(
                            publisher, subscriber, watch, settings.get(ServingOptions.CHECKPOINT_INTERVAL), leftOut);
                    report.write(options.output(), watch.looks());
                    vitals.write(options.output());
                    say.accept(report.table() + "\n" + vitals.table() + report.balance());
                    return report.holds();
                }
            }
        }
    }

    private static Map<String, String> leftOut(ProcessCluster cluster, Set<FaultKind> kinds) {
        Map<String, String> leftOut = new TreeMap<>();
        cluster.means().impossible().forEach((kind, reason) -> {
            if (kinds.contains(kind)) {
                leftOut.put(kind.label(), reason);
            }
        });
        return leftOut;
    }

    private static List<Shot> images() throws IOException {
        try (SyntheticCamera street = new SyntheticCamera("chaos", 20_950, 160, 96, 10, 0.9)) {
            return street.take(IMAGES);
        }
    }

    private ChaosReport run(
            OpenLoop publisher,
            Subscriber subscriber,
            Watch watch,
            Duration checkpointInterval,
            Map<String, String> leftOut)
            throws IOException, InterruptedException {
        CompletableFuture<Void> published = publisher.publishing(options.framesPerSecond(), Long.MAX_VALUE);
        String stuck = "";
        try {
            long start = System.currentTimeMillis();
            await("no results of every camera", published, subscriber, () -> account.hasResultsSince(start));
            say.accept("Frames flow; the faults begin.");
            make(leftOut, published, publisher, subscriber, watch);
            publisher.stop();
            while (!published.isDone()) {
                check(published, subscriber);
            }
            boolean unused = subscriber.awaitSettled(PATIENCE, () -> {}); // if not, the account says what is missing
        } catch (Stuck e) {
            stuck = String.valueOf(e.getMessage());
            say.accept("Given up: " + stuck);
        } finally {
            publisher.stop();
        }
        Account.Balance balance = account.balance();
        return new ChaosReport(
                options.seed(),
                options.mode().name().toLowerCase(Locale.ROOT),
                watch.second(),
                options.framesPerSecond(),
                checkpointInterval.toMillis(),
                leftOut,
                List.copyOf(made),
                balance,
                stuck,
                stuck.isEmpty()
                        && (options.mode() == Mode.LOSSLESS
                                ? balance.exactlyOnce() && balance.drops() == 0
                                : balance.atLeastOnce()));
    }

    private void make(
            Map<String, String> leftOut,
            CompletableFuture<Void> published,
            OpenLoop publisher,
            Subscriber subscriber,
            Watch watch)
            throws IOException, InterruptedException {
        List<FaultKind> possible = options.kinds().stream()
                .filter(kind -> !leftOut.containsKey(kind.label()))
                .toList();
        List<Fault> plan =
                Fault.plan(possible, options.count(), options.shape().processes(), options.longestSeconds(), random);
        Injection injection = new Injection(cluster, publisher, subscriber);
        double meanPauseMillis = options.minutes() * 60_000 / Math.max(1, plan.size());
        for (Fault fault : plan) {
            long begin = System.currentTimeMillis();
            long next = begin + (long) (meanPauseMillis * (0.5 + random.nextDouble()));
            double second = watch.second();
            account.listen();
            inject(fault + " could not be done", () -> injection.begin(fault));
            try {
                while (System.currentTimeMillis() < begin + fault.seconds() * 1000L) {
                    check(published, subscriber);
                    double seconds = (System.currentTimeMillis() - begin) / 1e3;
                    inject(fault + " could not go on", () -> injection.goOn(fault, seconds));
                }
            } finally {
                inject(fault + " could not be undone", () -> injection.end(fault));
            }
            long end = System.currentTimeMillis();
            double lasted = watch.second() - second;
            await("the job does not run after " + fault, published, subscriber, () -> cluster.flink()
                    .running(job));
            await(
                    "no results of every camera after " + fault,
                    published,
                    subscriber,
                    () -> account.hasResultsSince(end));
            long recovered = System.currentTimeMillis();
            await("not all processes run after " + fault, published, subscriber, () -> cluster.processes().stream()
                    .allMatch(JvmProcess::alive));
            await("not all copies are there after " + fault, published, subscriber, replicas::complete);
            while (System.currentTimeMillis() < next) {
                check(published, subscriber);
            }
            ChaosReport.Made done = new ChaosReport.Made(
                    second,
                    fault.kind().label(),
                    fault.victim(),
                    fault.other(),
                    fault.seconds() == 0 ? 0 : lasted,
                    account.silenceMillis(),
                    recovered - end,
                    watch.looks().stream()
                            .filter(look -> look.second() > second)
                            .flatMap(look -> look.revived().stream())
                            .toList());
            made.add(done);
            say.accept(String.format(
                    Locale.ROOT,
                    "%4.0f s  fault %d of %d: %s; recovery %.1f s, silence %.1f s; %d frames open%s",
                    second,
                    made.size(),
                    plan.size(),
                    fault,
                    done.recoveryMillis() / 1e3,
                    done.silenceMillis() / 1e3,
                    account.open(),
                    done.ended().isEmpty() ? "" : "; ended by itself: " + String.join(", ", done.ended())));
        }
    }

    private interface Step {
        void run() throws IOException, InterruptedException;
    }

    private static void inject(String otherwise, Step step) throws IOException, InterruptedException {
        try {
            step.run();
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            throw new Stuck(otherwise + ": " + e.getMessage());
        }
    }

    private interface Condition {
        boolean holds() throws InterruptedException;
    }

    /** The run does not go on. */
    private static final class Stuck extends IOException {
        private static final long serialVersionUID = 1L;

        private Stuck(String message) {
            super(message);
        }
    }

    private void await(String otherwise, CompletableFuture<Void> published, Subscriber subscriber, Condition condition)
            throws IOException, InterruptedException {
        long patience = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.holds()) {
            check(published, subscriber);
            if (System.nanoTime() > patience) {
                throw new Stuck(otherwise + " for " + PATIENCE.toMinutes() + " minutes");
            }
        }
    }

    /** A moment's wait, in which nothing must go wrong on this side. */
    private static void check(CompletableFuture<Void> published, Subscriber subscriber)
            throws IOException, InterruptedException {
        subscriber.throwIfFailed();
        boolean unused = OpenLoop.isOver(published, POLL_MILLIS);
    }
}
