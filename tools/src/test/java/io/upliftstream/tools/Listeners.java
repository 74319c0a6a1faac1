package io.upliftstream.tools;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Where processes listen, as Linux says it in {@code /proc}. */
public record Listeners(Set<Integer> onLoopback, Set<Integer> elsewhere) {
    private static final int STATE = 3;
    private static final String LISTENING = "0A";
    private static final int INODE = 9;

    /** TCP ports of a process. */
    public static Listeners of(long pid) throws IOException {
        Path process = Path.of("/proc", Long.toString(pid));
        Set<String> inodes = new HashSet<>();
        File[] descriptors = process.resolve("fd").toFile().listFiles();
        for (File descriptor : descriptors == null ? new File[0] : descriptors) {
            try {
                String target = Files.readSymbolicLink(descriptor.toPath()).toString();
                if (target.startsWith("socket:[")) {
                    inodes.add(target.substring(8, target.length() - 1));
                }
            } catch (IOException e) {
                // closed since
            }
        }
        Listeners listeners = new Listeners(new TreeSet<>(), new TreeSet<>());
        for (String table : List.of("net/tcp", "net/tcp6")) {
            for (String line : Files.readAllLines(process.resolve(table))) {
                List<String> columns = List.of(line.strip().split("\\s+", -1));
                if (columns.size() > INODE
                        && columns.get(STATE).equals(LISTENING)
                        && inodes.contains(columns.get(INODE))) {
                    String address = columns.get(1).replaceAll(":.*", "");
                    int port = Integer.parseInt(columns.get(1).replaceAll(".*:", ""), 16);
                    (loopback(address) ? listeners.onLoopback : listeners.elsewhere).add(port);
                }
            }
        }
        return listeners;
    }

    /** An address is hexadecimal there, each four bytes the wrong way round. */
    private static boolean loopback(String address) {
        boolean version4 = address.length() == 8 || address.startsWith("0000000000000000FFFF0000");
        return version4 ? address.endsWith("7F") : address.equals("00000000000000000000000001000000");
    }
}
