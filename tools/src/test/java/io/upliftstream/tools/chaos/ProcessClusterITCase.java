package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.upliftstream.job.JobSettings;
import io.upliftstream.tools.Listeners;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.io.TempDir;

/**
 * The job as deployed: its jar on a cluster of processes, libraries with natives in Flink's {@code lib/}. The tests share the
 * cluster, each with topics of its own.
 */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class ProcessClusterITCase {
    private static final Set<String> HEADS = Set.of("classes", "features", "depth");
    private static final List<String> CAMERAS = List.of("east", "north", "south", "west");
    private static final double FRAMES_PER_SECOND = 20;

    @AutoClose
    @SuppressWarnings("NullAway.Init")
    private static ProcessCluster cluster;

    @SuppressWarnings("NullAway.Init")
    private static Shot image;

    /** A wait that does not end says where, and what the cluster was at: its processes are gone when anybody looks. */
    @RegisterExtension
    static final TestExecutionExceptionHandler STATE = (context, problem) -> {
        String where = Stream.concat(Stream.of(problem), Stream.of(problem.getSuppressed()))
                .flatMap(each -> Stream.of(each.getStackTrace()))
                .filter(frame -> frame.getClassName().startsWith(ProcessClusterITCase.class.getName()))
                .map(StackTraceElement::toString)
                .findFirst()
                .orElse("nowhere here");
        String ended = cluster.processes().stream()
                .filter(process -> !process.alive())
                .map(JvmProcess::name)
                .collect(Collectors.joining(", "));
        throw new AssertionError(
                "%s; at %s; jobs %s; ended processes: %s"
                        .formatted(problem, where, cluster.flink().jobs(), ended),
                problem);
    };

    @BeforeAll
    static void start() throws Exception {
        try (SyntheticCamera street = new SyntheticCamera("street", 20_300, 160, 96, 10, 0.9)) {
            image = street.next();
        }
        cluster = ProcessCluster.start(
                Path.of(".."), new ClusterShape(1, 1, 2), Set.of(), Path.of("target", "cluster-log"));
    }

    @Test
    void everyProcessListensOnTheLoopbackAddressAndFlinkKnowsNoStranger() throws Exception {
        for (JvmProcess process : cluster.processes()) {
            Listeners listeners = Listeners.of(process.pid());
            assertThat(listeners.elsewhere()).as(process.name()).isEmpty();
            assertThat(listeners.onLoopback()).as(process.name()).isNotEmpty();
        }
        Matcher rest = Pattern.compile("Flink at 127\\.0\\.0\\.1:(\\d+)").matcher(cluster.listeners());
        assertThat(rest.find()).isTrue();
        URI upload = URI.create("http://127.0.0.1:" + rest.group(1) + "/jars/upload");
        assertThat(HttpClient.newHttpClient()
                        .send(
                                HttpRequest.newBuilder(upload)
                                        .POST(BodyPublishers.ofString("a jar"))
                                        .build(),
                                BodyHandlers.discarding())
                        .statusCode())
                .isEqualTo(403);
    }

    /** A job's topics, and those who write and read them. */
    private static final class Traffic implements AutoCloseable {
        final FrameTopics topics;
        final Account account = new Account(HEADS);
        private final OpenLoop cameras;
        private final Subscriber subscriber;

        Traffic(String name) throws IOException {
            topics = new FrameTopics(name + "-", CAMERAS.size());
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", cluster.bootstrapServers()))) {
                topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            }
            cameras = new OpenLoop(cluster.bootstrapServers(), topics, CAMERAS, List.of(image), account);
            subscriber = new Subscriber(
                    topics, JobSettings.load(null, Map.of(), arguments(1, TinyBundle.PATH)), account, name + "-reader");
        }

        List<String> arguments(int parallelism, Path bundle) {
            List<String> arguments = new ArrayList<>(List.of(
                    "uplift.kafka.bootstrap-servers=" + cluster.bootstrapServers(),
                    "uplift.model.bundle=" + bundle,
                    "uplift.parallelism=" + parallelism,
                    "uplift.checkpoint.interval=500 ms"));
            arguments.addAll(topics.assignments());
            return arguments;
        }

        void publish(int frames) throws IOException {
            cameras.publish(FRAMES_PER_SECOND, frames);
        }

        /** Sends on a thread of its own, so fast that frames are on their way at any time. */
        CompletableFuture<Void> publishUntilStopped() {
            return CompletableFuture.runAsync(() -> {
                try {
                    cameras.publish(10 * FRAMES_PER_SECOND, Long.MAX_VALUE);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        }

        /** Waits until so many more frames were sent. */
        void awaitPublished(int more) throws InterruptedException {
            long all = account.balance().published() + more;
            while (account.balance().published() < all) {
                Thread.sleep(1);
            }
        }

        /** Waits until nobody takes frames any more, and those that had come to the broker unacknowledged count again. */
        void awaitSilence() throws InterruptedException {
            long before = -1;
            for (long now = 0; now != before; now = account.balance().published()) {
                before = account.balance().published();
                Thread.sleep(500); // in which a hundred are due
            }
        }

        /** Waits until something of every camera taken after a time came out: the job runs. */
        void awaitResultsSince(long millis) throws Exception {
            while (!account.hasResultsSince(millis)) {
                publish(CAMERAS.size());
                subscriber.throwIfFailed();
            }
        }

        void awaitSettled() throws Exception {
            while (!account.awaitSettled(1000)) {
                subscriber.throwIfFailed();
            }
        }

        @Override
        public void close() {
            cameras.close();
            subscriber.close();
        }
    }

    @Test
    void everyFrameComesOutOnceAndInOrderAfterATaskManagerAndTheJobManagerWereKilled() throws Exception {
        try (Traffic traffic = new Traffic("kills")) {
            String job = cluster.flink().run(traffic.arguments(2, TinyBundle.PATH), null);
            traffic.awaitResultsSince(0);
            for (JvmProcess victim : List.of(cluster.taskManagers().get(0), cluster.jobManager())) {
                traffic.publish(20);
                long killed = System.currentTimeMillis();
                victim.kill();
                victim.start();
                traffic.awaitResultsSince(killed);
            }
            traffic.awaitSettled();
            assertThat(traffic.account.balance().exactlyOnce())
                    .as(traffic.account.balance().toString())
                    .isTrue();
            assertThat(traffic.account.balance().failures()).isZero();
            cluster.awaitTaskManagers();
            cluster.flink().cancel(job);
        }
    }

    @Test
    void aReaderAndAPublisherThatEndWithoutNoticeLoseAndDoubleNothing() throws Exception {
        try (Traffic traffic = new Traffic("clients")) {
            String job = cluster.flink().run(traffic.arguments(2, TinyBundle.PATH), null);
            while (traffic.subscriber.passedOver() == 0) {
                traffic.publish(20);
                traffic.awaitSettled();
                traffic.subscriber.kill();
                traffic.publish(20);
                traffic.subscriber.restart(); // at what was committed, which is less than what was judged
                traffic.awaitSettled();
            }

            CompletableFuture<Void> published = traffic.publishUntilStopped();
            traffic.awaitPublished(100);
            traffic.cameras.kill();
            traffic.awaitSilence();
            assertThat(published).isNotDone();
            long restarted = System.currentTimeMillis();
            traffic.cameras.restart();
            while (!traffic.account.hasResultsSince(restarted)) {
                traffic.subscriber.throwIfFailed();
                Thread.sleep(10);
            }
            traffic.cameras.stop();
            published.join();
            traffic.awaitSettled();
            Account.Balance balance = traffic.account.balance();
            assertThat(balance.exactlyOnce()).as(balance.toString()).isTrue();
            assertThat(balance.results()).isEqualTo(balance.published()).isGreaterThanOrEqualTo(40);
            cluster.flink().cancel(job);
        }
    }

    @Test
    void stoppedWithASavepointAndResumedWithOtherParallelismAndANewBundleNothingIsLostOrDoubled(@TempDir Path directory)
            throws Exception {
        Path upgraded = TinyBundle.copy(directory, "1.0.1");
        try (Traffic traffic = new Traffic("rescale")) {
            String savepoint = null;
            for (int parallelism : new int[] {1, 2, 1}) {
                Path bundle = savepoint == null ? TinyBundle.PATH : upgraded;
                long started = System.currentTimeMillis();
                String job = cluster.flink().run(traffic.arguments(parallelism, bundle), savepoint);
                traffic.awaitResultsSince(started);
                traffic.publish(20); // some of these are still on their way when the job stops
                savepoint = cluster.flink()
                        .stopWithSavepoint(
                                job, cluster.directory().resolve("savepoints").toUri());
            }
            String last = cluster.flink().run(traffic.arguments(1, upgraded), savepoint);
            traffic.awaitSettled();
            cluster.flink().cancel(last);
            assertThat(traffic.account.balance().exactlyOnce())
                    .as(traffic.account.balance().toString())
                    .isTrue();
            assertThat(traffic.account.balance().failures()).isZero();
        }
    }

    /**
     * Native libraries live in one class loader, and every job brings one of its own, which must go with it; and with it what
     * sends its spans.
     */
    @Test
    void jobsOneAfterTheOtherRunInTheSameProcesses() throws Exception {
        int jobs = Integer.getInteger("uplift.jobs", 3);
        List<Long> before = processes();
        AtomicInteger exports = new AtomicInteger();
        HttpServer collector = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        collector.createContext("/v1/traces", exchange -> {
            exchange.getRequestBody().readAllBytes();
            exports.incrementAndGet();
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        collector.start();
        try (Traffic traffic = new Traffic("restarts")) {
            traffic.publish(CAMERAS.size());
            for (int job = 0; job < jobs; job++) {
                List<String> arguments = traffic.arguments(2, TinyBundle.PATH);
                arguments.add("uplift.input.stop=latest");
                arguments.add("uplift.transactional-id-prefix=restarts-" + job);
                arguments.add("uplift.tracing.endpoint=http://127.0.0.1:%d/v1/traces"
                        .formatted(collector.getAddress().getPort()));
                cluster.flink().awaitState(cluster.flink().run(arguments, null), "FINISHED");
            }
            // Every job read the same frames, from the beginning.
            while (traffic.account.records() < (long) jobs * CAMERAS.size() * HEADS.size()) {
                assertThat(traffic.account.balance().failures()).isZero();
                traffic.subscriber.throwIfFailed();
                Thread.sleep(10); // until the account has them
            }
        } finally {
            collector.stop(0);
        }
        assertThat(exports).hasValueGreaterThanOrEqualTo(jobs);
        assertThat(processes()).isEqualTo(before);
        assertThat(cluster.taskManagers()).allMatch(JvmProcess::alive);
    }

    private static List<Long> processes() {
        return Stream.concat(Stream.of(cluster.jobManager()), cluster.taskManagers().stream())
                .map(JvmProcess::pid)
                .toList();
    }
}
