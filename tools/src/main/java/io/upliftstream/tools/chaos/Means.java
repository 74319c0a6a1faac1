package io.upliftstream.tools.chaos;

import io.upliftstream.job.StartupException;
import io.upliftstream.tools.picture.FreshFile;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What this machine lets faults be made with: namespaces for the network, file systems in memory for disks, libfaketime for
 * clocks. What is missing leaves the kinds out that need it, and says why.
 */
final class Means implements AutoCloseable {
    private static final String LIBRARY = "libfaketimeMT.so.1";

    private final Path directory;
    private final Map<String, Disk> disks = new TreeMap<>();
    private final SlowDisk slowDisk;
    private final Map<FaultKind, String> impossible = new TreeMap<>();
    private volatile Network network = Network.loopback();
    private @Nullable Path clockLibrary;
    /** What each process's file says, which need not be written again. */
    private final Map<String, String> clocks = new HashMap<>();

    private boolean slowAsked;
    private boolean closed;

    /**
     * Nothing yet.
     *
     * @param directory of the cluster, where disks and clocks are
     */
    Means(Path directory) {
        this.directory = directory;
        slowDisk = new SlowDisk(directory.resolve("zookeeper"));
    }

    /**
     * Gets ready what the kinds need; {@link #close} removes it, whatever comes of this.
     *
     * @param processes all that will run
     * @throws StartupException if there are kinds, and none can be made
     * @throws InterruptedIOException if interrupted
     */
    void prepare(Collection<FaultKind> kinds, List<String> processes) throws InterruptedIOException {
        if (asked(kinds, FaultKind.named("network"))) {
            open(new Network(processes));
        }
        if (asked(kinds, inMemory())) {
            List<String> names = new ArrayList<>(List.of("checkpoints", "quarantine"));
            processes.stream().filter(name -> name.startsWith("broker")).forEach(names::add);
            mount(names);
        }
        if (kinds.contains(FaultKind.DISK_SLOW_ZOOKEEPER)) {
            mountSlow();
        }
        clockLibrary = asked(kinds, FaultKind.named("clock")) ? clockLibrary() : null;
        if (!kinds.isEmpty() && impossible.keySet().containsAll(kinds)) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "chaos: none of these faults can be made here: %s (expected: kill, broker, pause, reader or publisher, which need nothing)"
                            .formatted(String.join("; ", new TreeSet<>(impossible.values()))));
        }
    }

    private static boolean asked(Collection<FaultKind> kinds, Set<FaultKind> some) {
        return !Collections.disjoint(kinds, some);
    }

    /** Kinds that are done to disks in memory; a slow one is none. */
    private static Set<FaultKind> inMemory() {
        Set<FaultKind> kinds = FaultKind.named("disk");
        kinds.remove(FaultKind.DISK_SLOW_ZOOKEEPER);
        return kinds;
    }

    private void open(Network own) throws InterruptedIOException {
        network = own;
        try {
            own.open();
            impossible.putAll(own.impossible());
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            leaveOut(FaultKind.named("network"), String.valueOf(e.getMessage()));
            own.close();
            network = Network.loopback();
        }
    }

    private void mount(List<String> names) throws InterruptedIOException {
        try {
            for (String name : names) {
                mount(name);
            }
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            leaveOut(inMemory(), "file systems in memory need root: " + e.getMessage());
        }
    }

    private synchronized void mount(String name) throws IOException {
        if (closed) {
            throw new InterruptedIOException("interrupted before a disk was mounted");
        }
        Disk disk = new Disk(directory(name));
        disks.put(name, disk);
        disk.mount();
    }

    private synchronized void mountSlow() throws InterruptedIOException {
        if (closed) {
            throw new InterruptedIOException("interrupted before a disk was mounted");
        }
        slowAsked = true;
        try {
            slowDisk.mount();
        } catch (InterruptedIOException e) {
            throw e;
        } catch (IOException e) {
            impossible.put(
                    FaultKind.DISK_SLOW_ZOOKEEPER,
                    "a slow disk needs root, ext4 on a loop device and blkio or io in /sys/fs/cgroup: "
                            + e.getMessage());
            slowDisk.close();
        }
    }

    private @Nullable Path clockLibrary() {
        for (String parent : List.of("/usr/lib", "/usr/local/lib", "/usr/lib64")) {
            try (Stream<Path> found =
                    Files.find(Path.of(parent), 3, (file, attributes) -> file.endsWith(Path.of("faketime", LIBRARY)))) {
                Optional<Path> library = found.findFirst();
                if (library.isPresent()) {
                    return library.get();
                }
            } catch (IOException | UncheckedIOException e) {
                // There is no such directory, or none to read.
            }
        }
        leaveOut(FaultKind.named("clock"), "no " + LIBRARY + " (Debian's libfaketime)");
        return null;
    }

    private void leaveOut(Set<FaultKind> kinds, String reason) {
        kinds.forEach(kind -> impossible.put(kind, reason));
    }

    /** Kinds that cannot be made here, and why. */
    Map<FaultKind, String> impossible() {
        return impossible;
    }

    Network network() {
        return network;
    }

    /** Where a disk is mounted, or would be. */
    Path directory(String disk) {
        return directory.resolve(disk);
    }

    /** One of the disks: checkpoints, quarantine, or a broker's. */
    Disk disk(String name) {
        Disk disk = disks.get(name);
        if (disk == null) {
            throw new IllegalArgumentException("disk: %s (expected: one of %s)".formatted(name, disks.keySet()));
        }
        return disk;
    }

    /** ZooKeeper's. */
    SlowDisk slowDisk() {
        return slowDisk;
    }

    /** What a process needs in its environment for its clock to be set. */
    Map<String, String> environment(String process) throws IOException {
        if (clockLibrary == null) {
            return Map.of();
        }
        setClock(process, 0);
        return Map.of(
                "LC_ALL", "C.UTF-8", // whose fractions have a point
                "LD_PRELOAD", clockLibrary.toString(),
                "FAKETIME_TIMESTAMP_FILE", clock(process).toString(),
                "FAKETIME_CACHE_DURATION", "1", // seconds until the file is read again
                "FAKETIME_DONT_FAKE_MONOTONIC", "1",
                // Else waits with a limit end too early.
                "FAKETIME_FORCE_MONOTONIC_FIX", "0");
    }

    /**
     * Sets a process's clock to so many seconds ahead of the machine's. It has heard of it within a second. (libfaketime's
     * own speeds, such as {@code x1.1}, make a JVM's waits hang.)
     */
    void setClock(String process, double seconds) throws IOException {
        String offset = String.format(Locale.ROOT, "%+.1f%n", seconds);
        if (!offset.equals(clocks.get(process))) {
            FreshFile.write(clock(process), offset.getBytes(StandardCharsets.US_ASCII));
            clocks.put(process, offset);
        }
    }

    private Path clock(String process) throws IOException {
        return Files.createDirectories(directory.resolve("clock")).resolve(process);
    }

    /** Unmounts and removes everything, for good; the processes have ended. */
    @Override
    public synchronized void close() {
        closed = true;
        disks.values().forEach(Disk::close);
        if (slowAsked) {
            slowDisk.close();
        }
        network.close();
    }
}
