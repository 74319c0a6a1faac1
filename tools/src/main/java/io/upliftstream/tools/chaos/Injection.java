package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Does faults to a cluster, and undoes them. */
final class Injection {
    private static final int CLOCK_SECONDS = 600;

    private final ProcessCluster cluster;

    Injection(ProcessCluster cluster) {
        this.cluster = cluster;
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
            case CLOCK_AHEAD -> means.setClock(victim, CLOCK_SECONDS);
            case CLOCK_BEHIND -> means.setClock(victim, -CLOCK_SECONDS);
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
            case CLOCK_AHEAD, CLOCK_BEHIND -> cluster.means().setClock(victim, 0);
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
