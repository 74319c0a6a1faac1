package io.upliftstream.tools.chaos;

import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.embedded.RestGuard;
import io.upliftstream.tools.embedded.ScratchDirectory;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * A Flink cluster with high availability and a Kafka broker, every part a process of its own on this machine: ZooKeeper, a
 * broker, a JobManager and TaskManagers of one slot each. No container.
 *
 * <pre>{@code
 * try (ProcessCluster cluster = ProcessCluster.start(home, 2, logs)) {
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

    /** Jars that come with the job's, and what belongs to the command line alone. */
    private static final List<String> NOT_IN_LIB = List.of(
            "uplift-stream-",
            "flink-connector-base",
            "flink-connector-kafka",
            "kafka",
            "avro-",
            "jackson-",
            "zstd-jni",
            "scala-",
            "picocli",
            "javacv",
            "xchart",
            "uplot");

    private static final String LOG4J =
            """
            status=ERROR
            rootLogger.level=INFO
            rootLogger.appenderRef.console.ref=console
            appender.console.name=console
            appender.console.type=CONSOLE
            appender.console.layout.type=PatternLayout
            appender.console.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1} %m%n
            logger.zookeeper.name=org.apache.flink.shaded.zookeeper3
            logger.zookeeper.level=WARN
            logger.curator.name=org.apache.flink.shaded.curator5
            logger.curator.level=WARN
            """;

    private final ScratchDirectory scratch;
    private final int restPort;
    private final int brokerPort;
    private final String listeners;
    private final JvmProcess zooKeeper;
    private final JvmProcess broker;
    private final JvmProcess jobManager;
    private final List<JvmProcess> taskManagers = new ArrayList<>();
    private final FlinkRest flink;
    private final Thread end = new Thread(this::kill, "cluster-end");

    private ProcessCluster(ScratchDirectory scratch, Path jobJar, List<Path> classPath, int taskManagerCount, Path logs)
            throws IOException {
        this.scratch = scratch;
        Path home = scratch.path();
        int[] ports = freePorts(4);
        int zooKeeperPort = ports[0];
        listeners = "127.0.0.1, for ZooKeeper at %d, Kafka at %d and %d, Flink at %d, and at ports that Flink chooses"
                .formatted(ports[0], ports[1], ports[2], ports[3]);
        brokerPort = ports[1];
        restPort = ports[3];
        Path tmp = Files.createDirectory(home.resolve("tmp"));
        Path conf = Files.createDirectory(home.resolve("conf"));
        Files.writeString(conf.resolve("log4j2.properties"), LOG4J);
        Files.writeString(conf.resolve("zoo.cfg"), ClusterSettings.zooKeeper(home, zooKeeperPort));
        String secret = UUID.randomUUID().toString();
        Path guard = Files.createDirectory(home.resolve("guard"));
        Files.writeString(
                conf.resolve("config.yaml"),
                ClusterSettings.flink(home, zooKeeperPort, restPort) + RestGuard.install(guard, secret));
        Path uploads = Files.createDirectories(home.resolve("upload").resolve("flink-web-upload"));
        String jar = "0_" + jobJar.getFileName();
        Files.copy(jobJar, uploads.resolve(jar));
        flink = new FlinkRest(URI.create("http://127.0.0.1:" + restPort), secret, jar);

        List<String> common = new ArrayList<>(openModules());
        common.add("-Dlog4j.configurationFile=" + conf.resolve("log4j2.properties"));
        common.add("-Djava.io.tmpdir=" + tmp);
        // Short-lived processes on few cores.
        common.addAll(List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dai.djl.offline=true"));
        Files.createDirectories(logs);
        List<Path> lib = lib(classPath);
        zooKeeper = process(
                "zookeeper",
                lib,
                common,
                List.of("-Xmx64m"),
                logs,
                "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer",
                "--zkConfigFile",
                conf.resolve("zoo.cfg").toString(),
                "--peerId",
                "1");
        broker = process(
                "broker",
                classPath,
                common,
                List.of("-Xmx384m"),
                logs,
                EmbeddedKafka.class.getName(),
                home.resolve("kafka").toString(),
                Integer.toString(brokerPort),
                Integer.toString(ports[2]));
        jobManager = process(
                "jobmanager",
                Stream.concat(Stream.of(guard), lib.stream()).toList(),
                common,
                List.of("-Xmx384m", "-XX:MaxMetaspaceSize=" + ClusterSettings.METASPACE),
                logs,
                "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                "--configDir",
                conf.toString());
        for (int i = 1; i <= taskManagerCount; i++) {
            taskManagers.add(process(
                    "taskmanager-" + i,
                    lib,
                    common,
                    List.of(
                            "-Xmx384m",
                            "-XX:MaxDirectMemorySize=704m",
                            "-XX:MaxMetaspaceSize=" + ClusterSettings.METASPACE),
                    logs,
                    "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                    "--configDir",
                    conf.toString()));
        }
    }

    private static JvmProcess process(
            String name, List<Path> classPath, List<String> common, List<String> options, Path logs, String... program)
            throws IOException {
        Path log = logs.resolve(name + ".log");
        Files.deleteIfExists(log); // of an earlier cluster
        return new JvmProcess(
                name,
                classPath,
                Stream.concat(common.stream(), options.stream()).toList(),
                List.of(program),
                Map.of("OPT_OUT_TRACKING", "true"),
                log);
    }

    /**
     * Starts everything and returns when all TaskManagers have registered. The processes end with this one, unless that is
     * killed with no time for its shutdown hooks.
     *
     * @param home the root of a built checkout, whose class path and job jar are used
     * @param logs directory for what the processes say
     */
    public static ProcessCluster start(Path home, int taskManagers, Path logs)
            throws IOException, InterruptedException {
        ProcessCluster cluster = new ProcessCluster(
                ScratchDirectory.create("uplift-cluster"), jobJar(home), classPath(home), taskManagers, logs);
        try {
            Runtime.getRuntime().addShutdownHook(cluster.end);
            cluster.zooKeeper.start();
            cluster.broker.start();
            cluster.jobManager.start();
            for (JvmProcess taskManager : cluster.taskManagers) {
                taskManager.start();
            }
            cluster.awaitBroker();
            cluster.awaitTaskManagers();
            return cluster;
        } catch (IOException | InterruptedException | RuntimeException e) {
            cluster.close();
            throw e;
        }
    }

    /** What Flink needs opened, as this process has it. */
    private static List<String> openModules() {
        return ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("--add-"))
                .toList();
    }

    private static Path jobJar(Path home) throws IOException {
        try (Stream<Path> files = Files.list(home.resolve(Path.of("flink-job", "target")))) {
            return files.filter(file -> file.getFileName().toString().endsWith("-job.jar"))
                    .findFirst()
                    .orElseThrow(() -> new IOException(
                            "no job jar in %s/flink-job/target (expected: one, from mvn package)".formatted(home)));
        }
    }

    private static List<Path> classPath(Path home) throws IOException {
        Path target = home.resolve(Path.of("tools", "target")).toAbsolutePath().normalize();
        return Stream.concat(
                        Stream.of(target.resolve("classes")),
                        Arrays.stream(Files.readString(target.resolve("classpath.txt"))
                                        .strip()
                                        .split(File.pathSeparator, -1))
                                .map(Path::of))
                .toList();
    }

    private static List<Path> lib(List<Path> classPath) {
        return classPath.stream()
                .filter(Files::isRegularFile)
                .filter(jar -> NOT_IN_LIB.stream().noneMatch(jar.getFileName().toString()::startsWith))
                .toList();
    }

    private static int[] freePorts(int count) throws IOException {
        List<ServerSocket> sockets = new ArrayList<>();
        try {
            for (int i = 0; i < count; i++) {
                sockets.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
            }
            return sockets.stream().mapToInt(ServerSocket::getLocalPort).toArray();
        } finally {
            for (ServerSocket socket : sockets) {
                socket.close();
            }
        }
    }

    /** Host and port of the broker, the same after a restart. */
    public String bootstrapServers() {
        return "127.0.0.1:" + brokerPort;
    }

    /** Where the processes listen. */
    public String listeners() {
        return listeners;
    }

    public FlinkRest flink() {
        return flink;
    }

    /** A directory for savepoints and the like; deleted with the cluster. */
    public Path directory() {
        return scratch.path();
    }

    public JvmProcess broker() {
        return broker;
    }

    public JvmProcess jobManager() {
        return jobManager;
    }

    public List<JvmProcess> taskManagers() {
        return List.copyOf(taskManagers);
    }

    /** Waits until the broker takes connections. */
    private void awaitBroker() throws IOException, InterruptedException {
        await(broker, () -> {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), brokerPort));
                return true;
            } catch (IOException e) {
                return false;
            }
        });
    }

    /** Waits until as many TaskManagers as there are processes have registered. */
    public void awaitTaskManagers() throws IOException, InterruptedException {
        await(jobManager, () -> flink.taskManagers() >= taskManagers.size());
    }

    private interface Condition {
        boolean holds() throws InterruptedException;
    }

    private void await(JvmProcess process, Condition condition) throws IOException, InterruptedException {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.holds()) {
            for (JvmProcess each : processes()) {
                if (!each.alive()) {
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

    List<JvmProcess> processes() {
        return Stream.concat(Stream.of(zooKeeper, broker, jobManager), taskManagers.stream())
                .toList();
    }

    /** Ends all processes, at once and for good, and deletes what they left. */
    @Override
    public void close() {
        kill();
        try {
            Runtime.getRuntime().removeShutdownHook(end);
        } catch (IllegalStateException e) {
            // The process is ending: the hook is at work.
        }
    }

    private void kill() {
        for (JvmProcess process : processes().stream()
                .sorted(Comparator.comparing(process -> process == zooKeeper || process == broker))
                .toList()) {
            process.close();
        }
        scratch.close();
    }
}
