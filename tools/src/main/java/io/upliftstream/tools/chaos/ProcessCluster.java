package io.upliftstream.tools.chaos;

import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.embedded.RestGuard;
import io.upliftstream.tools.embedded.ScratchDirectory;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.common.Uuid;

/**
 * A Flink cluster with high availability and Kafka brokers, every part a process of its own on this machine: ZooKeeper,
 * brokers, JobManagers and TaskManagers of one slot each. No container.
 *
 * <pre>{@code
 * try (ProcessCluster cluster = ProcessCluster.start(home, new ClusterShape(1, 1, 2), Set.of(), logs)) {
 *     String job = cluster.flink().run(List.of("uplift.model.bundle=…", …), null);
 *     cluster.taskManagers().get(0).kill();
 * }
 * }</pre>
 *
 * <p>Flink's class path is as deployed: Flink itself, and what {@code mvn -Pflink-lib} collects for its {@code lib/}; all else
 * is in the job's jar. It is taken from the class path of the command line, as the build has written it down.
 */
public final class ProcessCluster implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofMinutes(5);
    private static final long POLL_MILLIS = 100;
    /** How often a process that ends while the cluster starts is started again. */
    private static final int MAX_REVIVED = 3;

    private static final String METASPACE = "-XX:MaxMetaspaceSize=" + ClusterSettings.METASPACE;

    private final ScratchDirectory scratch;
    private final Means means;
    private final Path conf;
    private final Path tmp;
    private final Path logs;
    private final String clusterId = Uuid.randomUuid().toString();
    private final List<Integer> ports;
    private final List<JvmProcess> processes;
    private final FlinkRest flink;
    private final ClusterShape shape;
    private final List<String> jvm;
    private final Runnable end;

    private ProcessCluster(
            ScratchDirectory scratch,
            Means means,
            List<JvmProcess> processes,
            Runnable end,
            ClusterShape shape,
            Checkout checkout,
            Path logs)
            throws IOException {
        this.scratch = scratch;
        this.means = means;
        this.processes = processes;
        this.end = end;
        this.shape = shape;
        jvm = checkout.jvm();
        this.logs = Files.createDirectories(logs);
        Path home = scratch.path();
        ports = shape.freePorts();
        tmp = Files.createDirectory(home.resolve("tmp"));
        conf = Files.createDirectory(home.resolve("conf"));
        Files.writeString(conf.resolve("log4j2.properties"), ClusterSettings.LOG4J);
        Files.writeString(
                conf.resolve("zoo.cfg"),
                ClusterSettings.zooKeeper(home, means.network().address("zookeeper"), ports.get(0)));
        String secret = UUID.randomUUID().toString();
        Path guard = Files.createDirectory(home.resolve("guard"));
        Files.writeString(
                conf.resolve("config.yaml"),
                ClusterSettings.flink(home, means.directory("checkpoints"), listener("zookeeper", 0))
                        + RestGuard.install(guard, secret));
        Path uploads = Files.createDirectories(home.resolve("upload").resolve("flink-web-upload"));
        String jar = checkout.upload(uploads);
        List<Path> classPath = checkout.classPath();
        List<Path> lib = checkout.lib();
        List<Path> guarded = Stream.concat(Stream.of(guard), lib.stream()).toList();
        List<URI> rest = new ArrayList<>();
        for (String name : shape.processes()) {
            int number = Integer.parseInt(name.replaceFirst("\\D+", "0"));
            switch (name.replaceFirst("-.*", "")) {
                case "zookeeper" ->
                    add(
                            name,
                            lib,
                            List.of("-Xmx64m"),
                            "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer",
                            List.of("--zkConfigFile", conf.resolve("zoo.cfg").toString(), "--peerId", "1"));
                case "broker" ->
                    add(name, classPath, List.of("-Xmx384m"), EmbeddedKafka.class.getName(), broker(name, number));
                case "jobmanager" -> {
                    int port = ports.get(2 * shape.brokers() + number);
                    rest.add(URI.create("http://" + means.network().address(name) + ":" + port));
                    add(
                            name,
                            guarded,
                            List.of("-Xmx384m", METASPACE),
                            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                            flinkArguments(
                                    ClusterSettings.jobManager(means.network().address(name), port)));
                }
                default ->
                    add(
                            name,
                            lib,
                            List.of("-Xmx384m", "-XX:MaxDirectMemorySize=704m", METASPACE),
                            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                            flinkArguments(
                                    ClusterSettings.taskManager(means.network().address(name))));
            }
        }
        flink = new FlinkRest(rest, secret, jar);
    }

    private List<String> flinkArguments(List<String> own) {
        return Stream.concat(Stream.of("--configDir", conf.toString()), own.stream())
                .toList();
    }

    private List<String> broker(String name, int number) {
        List<String> arguments = new ArrayList<>(List.of(
                means.directory(name).resolve("log").toString(),
                ports.get(number).toString(),
                ports.get(shape.brokers() + number).toString(),
                clusterId));
        arguments.addAll(ClusterSettings.broker(number, brokerListeners(0), brokerListeners(shape.brokers())));
        return arguments;
    }

    private List<String> brokerListeners(int offset) {
        return IntStream.rangeClosed(1, shape.brokers())
                .mapToObj(i -> listener("broker-" + i, offset + i))
                .toList();
    }

    private String listener(String process, int port) {
        return means.network().address(process) + ":" + ports.get(port);
    }

    private void add(String name, List<Path> classPath, List<String> options, String main, List<String> arguments)
            throws IOException {
        Path log = logs.resolve(name + ".log");
        Files.deleteIfExists(log); // of an earlier cluster
        List<String> all = new ArrayList<>(openModules());
        all.add("-Dlog4j.configurationFile=" + conf.resolve("log4j2.properties"));
        all.add("-Djava.io.tmpdir=" + tmp);
        all.add("-XX:ErrorFile=" + logs.toAbsolutePath().resolve(name + "-%p.log"));
        all.addAll(jvm);
        all.add("-Dai.djl.offline=true");
        all.addAll(options);
        Map<String, String> environment = new HashMap<>(means.environment(name));
        environment.put("OPT_OUT_TRACKING", "true");
        processes.add(new JvmProcess(
                name,
                means.network().enter(name),
                classPath,
                all,
                Stream.concat(Stream.of(main), arguments.stream()).toList(),
                environment,
                log));
    }

    /**
     * Starts everything and returns when all TaskManagers have registered. The processes end with this one, unless that is
     * killed with no time for its shutdown hooks.
     *
     * @param home the root of a built checkout, whose class path and job jar are used
     * @param kinds of faults that are to be made; {@link Means#impossible} says which cannot be
     * @param logs directory for what the processes say
     */
    public static ProcessCluster start(Path home, ClusterShape shape, Collection<FaultKind> kinds, Path logs)
            throws IOException, InterruptedException {
        return start(Checkout.shortLived(home), shape, kinds, logs, end -> {});
    }

    /**
     * The same with processes of one's own choice.
     *
     * @param ends is told, before anything is there, what ends and removes it at once, on whatever thread
     */
    public static ProcessCluster start(
            Checkout checkout, ClusterShape shape, Collection<FaultKind> kinds, Path logs, Consumer<Runnable> ends)
            throws IOException, InterruptedException {
        ScratchDirectory scratch = ScratchDirectory.create("uplift-cluster");
        Means means = new Means(scratch.path());
        List<JvmProcess> processes = new CopyOnWriteArrayList<>();
        Runnable remove = () -> remove(processes, means, scratch);
        Thread hook = new Thread(remove, "cluster-end");
        Runtime.getRuntime().addShutdownHook(hook);
        ends.accept(remove);
        Runnable end = () -> {
            remove.run();
            unhook(hook);
        };
        try {
            means.prepare(kinds, shape.processes());
            ProcessCluster cluster = new ProcessCluster(scratch, means, processes, end, shape, checkout, logs);
            for (JvmProcess process : processes) {
                process.start();
            }
            cluster.awaitBrokers();
            cluster.awaitTaskManagers();
            return cluster;
        } catch (IOException | InterruptedException | RuntimeException e) {
            end.run();
            throw e;
        }
    }

    /** What Flink needs opened, as this process has it. */
    private static List<String> openModules() {
        return ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("--add-"))
                .toList();
    }

    /** Hosts and ports of the brokers, the same after a restart. */
    public String bootstrapServers() {
        return String.join(",", brokerListeners(0));
    }

    /** Where the processes listen. */
    public String listeners() {
        return "ZooKeeper at %s, Kafka at %s and %s, Flink at %s, and at ports that Flink chooses there"
                .formatted(
                        listener("zookeeper", 0),
                        bootstrapServers(),
                        String.join(",", brokerListeners(shape.brokers())),
                        flink.addresses());
    }

    public FlinkRest flink() {
        return flink;
    }

    Means means() {
        return means;
    }

    /** A directory for savepoints and the like; deleted with the cluster. */
    public Path directory() {
        return scratch.path();
    }

    public List<JvmProcess> processes() {
        return List.copyOf(processes);
    }

    /** The processes of one role, such as taskmanager. */
    List<JvmProcess> processes(String role) {
        return processes.stream()
                .filter(process -> process.name().startsWith(role))
                .toList();
    }

    public JvmProcess process(String name) {
        return processes(name).get(0);
    }

    public JvmProcess jobManager() {
        return process("jobmanager");
    }

    public List<JvmProcess> taskManagers() {
        return processes("taskmanager");
    }

    /** Waits until every broker takes connections. */
    private void awaitBrokers() throws IOException, InterruptedException {
        for (int i = 1; i <= shape.brokers(); i++) {
            String name = "broker-" + i;
            int port = ports.get(i);
            await(process(name), () -> {
                try (Socket socket = new Socket()) {
                    socket.connect(new InetSocketAddress(means.network().address(name), port));
                    return true;
                } catch (IOException e) {
                    return false;
                }
            });
        }
    }

    /** Waits until as many TaskManagers as there are processes have registered. */
    public void awaitTaskManagers() throws IOException, InterruptedException {
        await(jobManager(), () -> flink.taskManagers() >= shape.taskManagers());
    }

    /** Waits until so many TaskManagers have registered, and those that were killed are no longer counted. */
    public void awaitTaskManagers(int count) throws IOException, InterruptedException {
        await(jobManager(), () -> flink.taskManagers() == count);
    }

    private interface Condition {
        boolean holds() throws InterruptedException;
    }

    private void await(JvmProcess process, Condition condition) throws IOException, InterruptedException {
        long end = System.nanoTime() + PATIENCE.toNanos();
        int revived = 0;
        while (!condition.holds()) {
            for (JvmProcess each : processes) {
                // On a machine that is very busy Flink's own limits on starting are too short now and then.
                if (each.missing() && (revived++ == MAX_REVIVED || !each.revive())) {
                    throw new IOException("%s ended (expected: to run; see %s)".formatted(each.name(), each.log()));
                }
            }
            if (System.nanoTime() > end) {
                throw new IOException("%s is not ready after %d minutes (see %s)"
                        .formatted(process.name(), PATIENCE.toMinutes(), process.log()));
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** Ends all processes, at once and for good, and deletes what they left. */
    @Override
    public void close() {
        end.run();
    }

    private static void unhook(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The process is ending: the hook is at work.
        }
    }

    /** First the processes, of which others need the first ones last. */
    private static void remove(List<JvmProcess> processes, Means means, ScratchDirectory scratch) {
        for (int i = processes.size() - 1; i >= 0; i--) {
            processes.get(i).close();
        }
        means.close();
        scratch.close();
    }
}
