package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
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

    /** Ports that are free: ZooKeeper's, all brokers', all controllers', all JobManagers'. */
    List<Integer> freePorts() throws IOException {
        List<ServerSocket> sockets = new ArrayList<>();
        try {
            for (int i = 0; i < 1 + 2 * brokers + jobManagers; i++) {
                sockets.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
            }
            return sockets.stream().map(ServerSocket::getLocalPort).toList();
        } finally {
            for (ServerSocket socket : sockets) {
                socket.close();
            }
        }
    }
}
