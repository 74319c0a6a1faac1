package io.upliftstream.tools.chaos;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The settings of a {@link ProcessCluster}: everything small, and nothing beyond the addresses it is given. */
final class ClusterSettings {
    /** Room for a process (66 MB) and seven jobs (18 MB each): if their classes stayed, soon none could be started. */
    static final String METASPACE = "200m";

    /** What the processes say, and how. */
    static final String LOG4J =
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

    private ClusterSettings() {}

    /** The configuration of ZooKeeper. */
    static String zooKeeper(Path home, String address, int port) {
        return """
                tickTime=500
                dataDir=%s
                clientPort=%d
                clientPortAddress=%s
                admin.enableServer=false
                """
                .formatted(home.resolve("zookeeper"), port, address);
    }

    /** The configuration of JobManagers and TaskManagers, for processes without Flink's scripts. */
    static String flink(Path home, Path state, String zooKeeper) {
        return """
                jobmanager.rpc.address: 127.0.0.1
                web.upload.dir: %s
                web.cancel.enable: false
                high-availability.type: zookeeper
                high-availability.storageDir: %s
                high-availability.zookeeper.quorum: %s
                high-availability.zookeeper.client.session-timeout: 6 s
                high-availability.zookeeper.client.tolerate-suspended-connections: true
                execution.checkpointing.dir: %s
                pekko.startup-timeout: 2 min
                pekko.ask.timeout: 1 min
                metrics.fetcher.update-interval: 1 s
                heartbeat.interval: 1 s
                heartbeat.timeout: 10 s
                restart-strategy.type: fixed-delay
                restart-strategy.fixed-delay.attempts: 2147483647
                restart-strategy.fixed-delay.delay: 500 ms
                classloader.parent-first-patterns.additional: ai.djl;com.sun.jna;org.bytedeco
                taskmanager.jvm-exit-on-oom: true
                taskmanager.numberOfTaskSlots: 1
                taskmanager.cpu.cores: 1
                taskmanager.memory.framework.heap.size: 128m
                taskmanager.memory.framework.off-heap.size: 128m
                taskmanager.memory.task.heap.size: 256m
                taskmanager.memory.task.off-heap.size: 512m
                taskmanager.memory.network.min: 64m
                taskmanager.memory.network.max: 64m
                taskmanager.memory.managed.size: 0
                taskmanager.memory.jvm-metaspace.size: %s
                taskmanager.memory.jvm-overhead.min: 192m
                taskmanager.memory.jvm-overhead.max: 192m
                io.tmp.dirs: %s
                """
                .formatted(
                        home.resolve("upload"),
                        state.resolve("ha").toUri(),
                        zooKeeper,
                        state.resolve("checkpoints").toUri(),
                        METASPACE,
                        home.resolve("tmp"));
    }

    /** What one JobManager has for itself. */
    static List<String> jobManager(String address, int restPort) {
        return List.of(
                "-Djobmanager.rpc.address=" + address,
                "-Djobmanager.bind-host=" + address,
                "-Drest.address=" + address,
                "-Drest.bind-address=" + address,
                "-Drest.port=" + restPort,
                "-Drest.bind-port=" + restPort);
    }

    /** What one TaskManager has for itself. */
    static List<String> taskManager(String address) {
        return List.of("-Dtaskmanager.host=" + address, "-Dtaskmanager.bind-host=" + address);
    }

    /**
     * What one broker has for itself, as {@code key=value}. Three keep every record three times, and take none that is not
     * at two of them.
     *
     * @param node its number, from 1
     * @param brokers where the brokers listen, {@code HOST:PORT}
     * @param controllers where their controllers listen
     */
    static List<String> broker(int node, List<String> brokers, List<String> controllers) {
        int copies = brokers.size();
        int inSync = Math.max(1, copies - 1);
        return List.of(
                "node.id=" + node,
                "controller.quorum.voters="
                        + IntStream.range(0, copies)
                                .mapToObj(i -> (i + 1) + "@" + controllers.get(i))
                                .collect(Collectors.joining(",")),
                "listeners=BROKER://%s,CONTROLLER://%s".formatted(brokers.get(node - 1), controllers.get(node - 1)),
                "default.replication.factor=" + copies,
                "min.insync.replicas=" + inSync,
                "offsets.topic.replication.factor=" + copies,
                "transaction.state.log.replication.factor=" + copies,
                "transaction.state.log.min.isr=" + inSync,
                "leader.imbalance.check.interval.seconds=10",
                "leader.imbalance.per.broker.percentage=0");
    }
}
