package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Where processes reach each other: on the loopback address, or each in a Linux network namespace of its own, on a bridge
 * that leads nowhere else. This process stays outside, at the bridge.
 *
 * <p>A direction is cut by a neighbour entry with an address that no card has: packets are sent, and nobody takes them.
 */
final class Network implements AutoCloseable {
    private static final String NOBODY = "02:00:00:00:00:00";
    private static final String CARD = "eth0";
    private static final int FIRST_HOST = 11;

    /** Where a network may be, of which one is taken that no route of this machine leads to. */
    private static final List<String> SUBNETS = List.of("10.%d.%d.", "172.31.%2$d.", "198.18.%2$d.");
    /** Some VPNs write the default route in two halves. */
    private static final Pattern TO_EVERYWHERE =
            Pattern.compile("(\\w+ )?(default|0\\.0\\.0\\.0/1|128\\.0\\.0\\.0/1)( |$)");

    private final String tag;
    private final List<String> processes;
    private final Map<FaultKind, String> impossible = new TreeMap<>();
    private final List<String[]> undo = new ArrayList<>();
    private String subnet = "";
    private boolean closed;

    /** A namespace for each of the processes, once it is {@link #open}. */
    Network(List<String> processes) {
        this.processes = processes;
        tag = "u" + Long.toString(ProcessHandle.current().pid(), Character.MAX_RADIX);
    }

    /** All processes on 127.0.0.1. */
    static Network loopback() {
        return new Network(List.of());
    }

    /**
     * Makes bridge and namespaces; {@link #close} removes them, whatever comes of this.
     *
     * @throws IOException with the reason, if there cannot be any, as for users other than root, or if no packet passes
     *     between them
     */
    void open() throws IOException {
        try {
            subnet = freeSubnet();
            if (!subnet.isEmpty()) {
                connect();
            }
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            throw new IOException("network namespaces need root and iproute2: " + e.getMessage(), e);
        }
        if (subnet.isEmpty()) {
            throw new IOException(
                    "this machine has routes to 10.2xx, 172.31 and 198.18 (expected: none to one of these)");
        }
        String first = processes.get(0);
        String last = processes.get(processes.size() - 1);
        requireReached(last, enter(first), "another namespace");
        requireReached(first, List.of(), "this machine");
        tryQueues(first);
    }

    /** Empty if there is none. */
    private static String freeSubnet() throws IOException {
        long pid = ProcessHandle.current().pid();
        for (String form : SUBNETS) {
            String candidate = form.formatted(200 + pid % 50, pid / 50 % 250);
            // Routes to all of it, and to parts of it.
            String routes = Command.run("ip", "-4", "route", "show", "table", "all", "match", candidate + "0/24") + "\n"
                    + Command.run("ip", "-4", "route", "show", "table", "all", "root", candidate + "0/24");
            if (routes.lines()
                    .allMatch(route ->
                            route.isBlank() || TO_EVERYWHERE.matcher(route).lookingAt())) {
                return candidate;
            }
        }
        return "";
    }

    private void connect() throws IOException {
        make(new String[] {"ip", "link", "del", tag}, "ip", "link", "add", tag, "type", "bridge");
        Command.run("ip", "address", "add", subnet + "1/24", "dev", tag);
        Command.run("ip", "link", "set", tag, "up");
        for (String process : processes) {
            String name = namespace(process);
            make(new String[] {"ip", "netns", "del", name}, "ip", "netns", "add", name);
            Command.run("ip", "link", "add", card(process), "type", "veth", "peer", "name", CARD, "netns", name);
            Command.run("ip", "link", "set", card(process), "master", tag, "up");
            Command.run("ip", "-n", name, "address", "add", address(process) + "/24", "dev", CARD);
            Command.run("ip", "-n", name, "link", "set", CARD, "up");
            Command.run("ip", "-n", name, "link", "set", "lo", "up");
        }
    }

    /** Nothing listens yet: a process that is reached refuses, of one that is not nothing is heard. */
    private void requireReached(String process, List<String> enter, String from) throws IOException {
        String knock = "</dev/tcp/" + address(process) + "/9";
        try {
            Command.run(join(enter, "env", "LC_ALL=C", "timeout", "5", "bash", "-c", knock));
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            if (!String.valueOf(e.getMessage()).contains("refused")) {
                throw new IOException(
                        "no packet passes from %s to %s in its namespace (expected: a firewall that lets bridged packets"
                                        .formatted(from, address(process))
                                + " pass; with the module br_netfilter the chain FORWARD decides that)",
                        e);
            }
        }
    }

    private void tryQueues(String first) throws InterruptedIOException {
        require(FaultKind.NETWORK_LOSS, () -> {
            lose(first);
            heal(first);
        });
        require(FaultKind.NETWORK_SLOW, () -> {
            slow(first);
            heal(first);
        });
        require(FaultKind.NETWORK_DELAY, () -> {
            delay(first);
            heal(first);
        });
    }

    /** What undoes it is noted before, since a command that fails may have done half of it. */
    private synchronized void make(String[] undoing, String... command) throws IOException {
        if (closed) {
            throw new InterruptedIOException("interrupted before " + String.join(" ", command));
        }
        undo.add(0, undoing);
        Command.run(command);
    }

    private interface Trial {
        void run() throws IOException;
    }

    private void require(FaultKind kind, Trial trial) throws InterruptedIOException {
        try {
            trial.run();
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            impossible.put(kind, String.valueOf(e.getMessage()));
        }
    }

    /** Faults that this machine has not the means for, and why. */
    Map<FaultKind, String> impossible() {
        return impossible;
    }

    private boolean isLoopback() {
        return processes.isEmpty();
    }

    private String namespace(String process) {
        return tag + "-" + process;
    }

    private String card(String process) {
        return tag + "h" + processes.indexOf(process);
    }

    /** Where a process listens and is reached. */
    String address(String process) {
        return isLoopback() ? "127.0.0.1" : subnet + (FIRST_HOST + processes.indexOf(process));
    }

    /** What stands before a command line that is to run where a process belongs. */
    List<String> enter(String process) {
        return isLoopback() ? List.of() : List.of("ip", "netns", "exec", namespace(process));
    }

    /** What one process sends does not reach the other any more. */
    void cut(String from, String to) throws IOException {
        Command.run(
                "ip",
                "-n",
                namespace(from),
                "neigh",
                "replace",
                address(to),
                "lladdr",
                NOBODY,
                "nud",
                "permanent",
                "dev",
                CARD);
    }

    /** Three of ten packets are lost, in both directions where netem is, else of those that come in. */
    void lose(String process) throws IOException {
        try {
            queue(process, "netem", "loss", "30%");
        } catch (IOException e) {
            Command.run(
                    "ip",
                    "netns",
                    "exec",
                    namespace(process),
                    "iptables",
                    "-w",
                    "-A",
                    "INPUT",
                    "-i",
                    CARD,
                    "-m",
                    "statistic",
                    "--mode",
                    "random",
                    "--probability",
                    "0.3",
                    "-j",
                    "DROP");
        }
    }

    /** 512 kbit/s in both directions. */
    void slow(String process) throws IOException {
        queue(process, "tbf", "rate", "512kbit", "burst", "32kbit", "latency", "400ms");
    }

    /** Half a second in both directions. */
    void delay(String process) throws IOException {
        queue(process, "netem", "delay", "500ms");
    }

    private void queue(String process, String... discipline) throws IOException {
        Command.run(join(List.of("tc", "-n", namespace(process), "qdisc", "add", "dev", CARD, "root"), discipline));
        Command.run(join(List.of("tc", "qdisc", "add", "dev", card(process), "root"), discipline));
    }

    private static String[] join(List<String> first, String... rest) {
        List<String> all = new ArrayList<>(first);
        all.addAll(List.of(rest));
        return all.toArray(String[]::new);
    }

    /** Undoes whatever was done to the way from and to a process. */
    void heal(String process) throws IOException {
        Command.run("ip", "-n", namespace(process), "neigh", "flush", "nud", "permanent", "dev", CARD);
        for (String other : processes) {
            if (!other.equals(process)) {
                attempt("ip", "-n", namespace(other), "neigh", "del", address(process), "dev", CARD);
            }
        }
        attempt("tc", "-n", namespace(process), "qdisc", "del", "dev", CARD, "root");
        attempt("tc", "qdisc", "del", "dev", card(process), "root");
        attempt("ip", "netns", "exec", namespace(process), "iptables", "-w", "-F", "INPUT");
    }

    /** For what may not be there. */
    private static void attempt(String... command) {
        try {
            Command.run(command);
        } catch (IOException e) {
            // There was nothing to undo.
        }
    }

    /** Removes namespaces and bridge, for good; the processes in them have ended. */
    @Override
    public synchronized void close() {
        closed = true;
        undo.forEach(Network::attempt);
    }
}
