package io.upliftstream.tools.chaos;

import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Does faults to a cluster and its clients, and undoes them. */
final class Injection {
    private static final int CLOCK_SECONDS = 600;
    /** How much a clock that drifts is wrong after a second, in seconds. */
    private static final double DRIFT = 0.1;

    private final ProcessCluster cluster;
    private final OpenLoop publisher;
    private final Subscriber reader;

    Injection(ProcessCluster cluster, OpenLoop publisher, Subscriber reader) {
        this.cluster = cluster;
        this.publisher = publisher;
        this.reader = reader;
    }

    /** Does it; returns when it is done. */
    void begin(Fault fault) throws IOException, InterruptedException {
        Means means = cluster.means();
        Network network = means.network();
        String victim = fault.victim();
        switch (fault.kind()) {
            case KILL_TASKMANAGER, KILL_JOBMANAGER, KILL_BROKER, KILL_ZOOKEEPER, BROKER_EMPTY ->
                cluster.process(victim).kill();
            case BROKER_STOP -> cluster.process(victim).stop();
            case PAUSE_TASKMANAGER, PAUSE_JOBMANAGER, PAUSE_BROKER, PAUSE_ZOOKEEPER ->
                cluster.process(victim).signal("STOP");
            case NETWORK_ISOLATE -> {
                for (String other : others(victim)) {
                    network.cut(victim, other);
                    network.cut(other, victim);
                }
            }
            case NETWORK_PAIR -> {
                network.cut(victim, fault.other());
                network.cut(fault.other(), victim);
            }
            case NETWORK_ONE_WAY -> network.cut(victim, fault.other());
            case NETWORK_LOSS -> network.lose(victim);
            case NETWORK_SLOW -> network.slow(victim);
            case NETWORK_DELAY -> network.delay(victim);
            case DISK_FULL_CHECKPOINTS, DISK_FULL_BROKER -> means.disk(victim).fill();
            case DISK_READONLY_CHECKPOINTS, DISK_READONLY_QUARANTINE ->
                means.disk(victim).makeReadOnly();
            case DISK_SLOW_ZOOKEEPER ->
                means.slowDisk().slow(cluster.process(victim).pid());
            case CLOCK_AHEAD -> means.setClock(victim, CLOCK_SECONDS);
            case CLOCK_BEHIND -> means.setClock(victim, -CLOCK_SECONDS);
            case CLOCK_DRIFT_AHEAD, CLOCK_DRIFT_BEHIND -> {} // right at first
            case READER_RESTART -> reader.kill();
            case PUBLISHER_RESTART -> publisher.kill();
        }
    }

    /** Makes worse what grows, so many seconds after it began. */
    void goOn(Fault fault, double seconds) throws IOException {
        if (fault.kind() == FaultKind.CLOCK_DRIFT_AHEAD) {
            cluster.means().setClock(fault.victim(), seconds * DRIFT);
        } else if (fault.kind() == FaultKind.CLOCK_DRIFT_BEHIND) {
            cluster.means().setClock(fault.victim(), -seconds * DRIFT);
        }
    }

    /** Undoes it. */
    void end(Fault fault) throws IOException {
        String victim = fault.victim();
        switch (fault.kind()) {
            case KILL_TASKMANAGER, KILL_JOBMANAGER, KILL_BROKER, KILL_ZOOKEEPER, BROKER_STOP ->
                cluster.process(victim).start();
            case BROKER_EMPTY -> {
                empty(cluster.means().directory(victim).resolve("log"));
                cluster.process(victim).start();
            }
            case PAUSE_TASKMANAGER, PAUSE_JOBMANAGER, PAUSE_BROKER, PAUSE_ZOOKEEPER ->
                cluster.process(victim).signal("CONT");
            case NETWORK_ISOLATE, NETWORK_PAIR, NETWORK_ONE_WAY, NETWORK_LOSS, NETWORK_SLOW, NETWORK_DELAY ->
                cluster.means().network().heal(victim);
            case DISK_FULL_CHECKPOINTS, DISK_FULL_BROKER, DISK_READONLY_CHECKPOINTS, DISK_READONLY_QUARANTINE ->
                cluster.means().disk(victim).heal();
            case DISK_SLOW_ZOOKEEPER -> cluster.means().slowDisk().heal();
            case CLOCK_AHEAD, CLOCK_BEHIND, CLOCK_DRIFT_AHEAD, CLOCK_DRIFT_BEHIND ->
                cluster.means().setClock(victim, 0);
            case READER_RESTART -> reader.restart();
            case PUBLISHER_RESTART -> publisher.restart();
        }
    }

    private List<String> others(String victim) {
        return cluster.processes().stream()
                .map(JvmProcess::name)
                .filter(name -> !name.equals(victim))
                .toList();
    }

    private static void empty(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }
}
