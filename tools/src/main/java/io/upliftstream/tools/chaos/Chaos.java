package io.upliftstream.tools.chaos;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;

/**
 * Kills processes of a cluster in random order while cameras send frames to it, and holds what came out against what went
 * in. A process is started again as soon as it is dead; the next kill waits until results of every camera come again.
 */
public final class Chaos {
    private static final int IMAGES = 8;
    private static final int TASK_MANAGERS = 2;
    private static final long POLL_MILLIS = 50;
    /** This long without results, and the run is given up. */
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    private final ChaosOptions options;
    private final ProcessCluster cluster;
    private final String job;
    private final Account account;
    private final Consumer<String> say;
    private final Random random;
    private final long startMillis = System.currentTimeMillis();

    private Chaos(ChaosOptions options, ProcessCluster cluster, String job, Account account, Consumer<String> say) {
        this.options = options;
        this.cluster = cluster;
        this.job = job;
        this.account = account;
        this.say = say;
        random = new Random(options.seed());
    }

    /**
     * Runs, writes the report, and says on the way how it goes.
     *
     * @return whether the account holds
     */
    public static boolean run(ChaosOptions options, Consumer<String> say)
            throws IOException, BundleException, InterruptedException {
        FrameTopics topics = new FrameTopics("chaos-", options.cameras());
        say.accept("Starting ZooKeeper, Kafka, a JobManager and " + TASK_MANAGERS + " TaskManagers …");
        try (ProcessCluster cluster = ProcessCluster.start(
                options.home(), TASK_MANAGERS, options.output().resolve("log"))) {
            List<String> arguments = new ArrayList<>(options.set());
            arguments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + cluster.bootstrapServers());
            arguments.add(ServingOptions.MODE.key() + "=" + options.mode());
            arguments.add(ServingOptions.PARALLELISM.key() + "=" + TASK_MANAGERS);
            arguments.addAll(topics.assignments());
            JobSettings settings = JobSettings.load(null, Map.of(), arguments);
            Set<String> heads = settings
                    .written(ModelBundle.load(settings.bundle()).heads())
                    .stream()
                    .map(HeadSpec::name)
                    .collect(Collectors.toSet());
            try (Admin admin = Admin.create(settings.kafkaProperties())) {
                topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            }
            String job = cluster.flink().run(arguments, null);
            Account account = new Account(heads);
            List<String> cameras = IntStream.range(0, options.cameras())
                    .mapToObj(camera -> "camera-" + camera)
                    .toList();
            try (Subscriber subscriber = new Subscriber(topics, settings, account);
                    OpenLoop publisher = new OpenLoop(cluster.bootstrapServers(), topics, cameras, images(), account)) {
                ChaosReport report = new Chaos(options, cluster, job, account, say)
                        .run(publisher, subscriber, settings.get(ServingOptions.CHECKPOINT_INTERVAL));
                report.write(options.output());
                say.accept(report.table() + report.balance());
                return report.holds();
            }
        }
    }

    private static List<byte[]> images() {
        List<byte[]> encoded = new ArrayList<>();
        try (SyntheticCamera street = new SyntheticCamera("chaos", 20_950, 160, 96, 10, 0.9)) {
            for (int i = 0; i < IMAGES; i++) {
                encoded.add(street.next().image());
            }
        }
        return encoded;
    }

    private ChaosReport run(OpenLoop publisher, Subscriber subscriber, Duration checkpointInterval)
            throws IOException, InterruptedException {
        CompletableFuture<Void> published = CompletableFuture.runAsync(() -> publish(publisher));
        try {
            awaitResultsSince(startMillis, published, subscriber);
            say.accept("Frames flow; killing.");
            List<ChaosReport.Kill> kills = kill(published, subscriber);
            publisher.stop();
            while (!published.isDone()) {
                check(published, subscriber);
            }
            awaitEnd(subscriber);
            Account.Balance balance = account.balance();
            return new ChaosReport(
                    options.seed(),
                    options.mode().name().toLowerCase(Locale.ROOT),
                    seconds(System.currentTimeMillis()),
                    options.framesPerSecond(),
                    checkpointInterval.toMillis(),
                    kills,
                    balance,
                    options.mode() == Mode.LOSSLESS
                            ? balance.exactlyOnce() && balance.drops() == 0
                            : balance.atLeastOnce());
        } finally {
            publisher.stop();
        }
    }

    private void publish(OpenLoop publisher) {
        try {
            publisher.publish(options.framesPerSecond(), Long.MAX_VALUE);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private List<ChaosReport.Kill> kill(CompletableFuture<Void> published, Subscriber subscriber)
            throws IOException, InterruptedException {
        List<JvmProcess> victims = new ArrayList<>();
        IntStream.range(0, options.taskManagerKills())
                .forEach(i -> victims.add(cluster.taskManagers().get(random.nextInt(TASK_MANAGERS))));
        victims.addAll(Collections.nCopies(options.jobManagerKills(), cluster.jobManager()));
        victims.addAll(Collections.nCopies(options.brokerKills(), cluster.broker()));
        Collections.shuffle(victims, random);
        List<ChaosReport.Kill> kills = new ArrayList<>();
        double meanPauseMillis = options.minutes() * 60_000 / Math.max(1, victims.size());
        for (JvmProcess victim : victims) {
            long at = System.currentTimeMillis();
            account.listen();
            victim.kill();
            victim.start();
            long next = at + (long) (meanPauseMillis * (0.5 + random.nextDouble()));
            awaitRunning(published, subscriber);
            awaitResultsSince(System.currentTimeMillis(), published, subscriber);
            while (System.currentTimeMillis() < next) {
                check(published, subscriber);
            }
            ChaosReport.Kill kill = new ChaosReport.Kill(seconds(at), victim.name(), account.silenceMillis());
            kills.add(kill);
            say.accept(String.format(
                    Locale.ROOT,
                    "%4.0f s  kill %d of %d: %s; longest silence of a camera %.1f s; %d frames open",
                    kill.second(),
                    kills.size(),
                    victims.size(),
                    kill.victim(),
                    kill.silenceMillis() / 1e3,
                    account.open()));
        }
        return kills;
    }

    private double seconds(long millis) {
        return (millis - startMillis) / 1e3;
    }

    /** Waits for the JobManager: without one tasks go on for a while. */
    private void awaitRunning(CompletableFuture<Void> published, Subscriber subscriber)
            throws IOException, InterruptedException {
        long patience = System.nanoTime() + PATIENCE.toNanos();
        while (!cluster.flink().running(job)) {
            check(published, subscriber);
            if (System.nanoTime() > patience) {
                throw new IOException("the job does not run for " + PATIENCE.toMinutes() + " minutes");
            }
        }
    }

    /** Waits until of every camera a result of a frame taken after the given time has been read. */
    private void awaitResultsSince(long millis, CompletableFuture<Void> published, Subscriber subscriber)
            throws IOException, InterruptedException {
        long patience = System.nanoTime() + PATIENCE.toNanos();
        while (!account.hasResultsSince(millis)) {
            check(published, subscriber);
            if (System.nanoTime() > patience) {
                throw new IOException("no new results of every camera for " + PATIENCE.toMinutes() + " minutes: "
                        + account.balance());
            }
        }
    }

    private void awaitEnd(Subscriber subscriber) throws IOException, InterruptedException {
        long open = account.open();
        long patience = System.nanoTime() + PATIENCE.toNanos();
        while (!account.awaitSettled(POLL_MILLIS) && System.nanoTime() < patience) {
            subscriber.throwIfFailed();
            if (account.open() != open) {
                open = account.open();
                patience = System.nanoTime() + PATIENCE.toNanos();
            }
        }
    }

    /** A moment's wait, in which nothing must go wrong on this side. */
    private static void check(CompletableFuture<Void> published, Subscriber subscriber)
            throws IOException, InterruptedException {
        subscriber.throwIfFailed();
        try {
            published.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            // It goes on.
        } catch (ExecutionException e) {
            throw new IOException(e.getMessage(), e);
        }
    }
}
