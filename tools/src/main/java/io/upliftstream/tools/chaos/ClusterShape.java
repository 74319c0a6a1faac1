package io.upliftstream.tools.chaos;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * How many processes a cluster has, beside ZooKeeper.
 *
 * @param brokers that are controllers, too
 */
public record ClusterShape(int brokers, int jobManagers, int taskManagers) {
    /** The names of all processes, ZooKeeper's first. */
    List<String> processes() {
        return Stream.of(
                        Stream.of("zookeeper"),
                        names("broker", brokers),
                        names("jobmanager", jobManagers),
                        names("taskmanager", taskManagers))
                .flatMap(names -> names)
                .toList();
    }

    private static Stream<String> names(String role, int count) {
        return IntStream.rangeClosed(1, count).mapToObj(i -> role + "-" + i);
    }
}
