package io.upliftstream.tools.chaos;

import java.nio.file.Path;

/** The configuration files of a {@link ProcessCluster}: everything on the loopback address, and small. */
final class ClusterSettings {
    /** Room for a process (66 MB) and seven jobs (18 MB each): if their classes stayed, soon none could be started. */
    static final String METASPACE = "200m";

    private ClusterSettings() {}

    /** The configuration of ZooKeeper. */
    static String zooKeeper(Path home, int port) {
        return """
                tickTime=500
                dataDir=%s
                clientPort=%d
                clientPortAddress=127.0.0.1
                admin.enableServer=false
                """
                .formatted(home.resolve("zookeeper"), port);
    }

    /** The configuration of JobManager and TaskManagers, for processes without Flink's scripts. */
    static String flink(Path home, int zooKeeperPort, int restPort) {
        return """
                jobmanager.rpc.address: 127.0.0.1
                jobmanager.bind-host: 127.0.0.1
                rest.address: 127.0.0.1
                rest.bind-address: 127.0.0.1
                rest.port: %d
                rest.bind-port: %d
                web.upload.dir: %s
                web.cancel.enable: false
                high-availability.type: zookeeper
                high-availability.storageDir: %s
                high-availability.zookeeper.quorum: 127.0.0.1:%d
                high-availability.zookeeper.client.session-timeout: 6 s
                execution.checkpointing.dir: %s
                pekko.startup-timeout: 2 min
                pekko.ask.timeout: 1 min
                heartbeat.interval: 1 s
                heartbeat.timeout: 10 s
                restart-strategy.type: fixed-delay
                restart-strategy.fixed-delay.attempts: 2147483647
                restart-strategy.fixed-delay.delay: 500 ms
                classloader.parent-first-patterns.additional: ai.djl;com.sun.jna;org.bytedeco
                taskmanager.host: 127.0.0.1
                taskmanager.bind-host: 127.0.0.1
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
                        restPort,
                        restPort,
                        home.resolve("upload"),
                        home.resolve("ha").toUri(),
                        zooKeeperPort,
                        home.resolve("checkpoints").toUri(),
                        METASPACE,
                        home.resolve("tmp"));
    }
}
