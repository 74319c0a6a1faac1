package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/**
 * A file system on a loop device, on which one process gets two writes a second when it is told to: whatever waits for a
 * sync then waits for a second or more, what only writes does not. Needs root and a cgroup controller for block devices
 * (blkio, or io of version 2).
 */
final class SlowDisk implements AutoCloseable {
    private static final String BYTES = "256M";
    private static final int WRITES_PER_SECOND = 2;
    private static final Path GROUPS = Path.of("/sys/fs/cgroup");
    private static final long TRIAL_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final Path directory;
    private final boolean version1 = Files.isDirectory(GROUPS.resolve("blkio"));
    private final Path group = (version1 ? GROUPS.resolve("blkio") : GROUPS)
            .resolve("uplift-" + ProcessHandle.current().pid());
    private String device = "";

    /** Nothing yet. */
    SlowDisk(Path directory) {
        this.directory = directory;
    }

    /**
     * Mounts it on its directory, which is empty, and sees that it can be slow.
     *
     * @throws IOException with the reason if not
     */
    void mount() throws IOException {
        Files.createDirectories(directory);
        String image = directory + ".image";
        Command.run("truncate", "-s", BYTES, image);
        // A journal is written by the kernel, which no limit of a process holds up.
        Command.run("mkfs.ext4", "-q", "-O", "^has_journal", image);
        Command.run("mount", "-o", "loop", image, directory.toString());
        device = Command.run("findmnt", "-no", "MAJ:MIN", directory.toString()).strip();
        Files.createDirectory(group);
        limit(true);
        Path trial = directory.resolve("trial");
        long start = System.nanoTime();
        Command.run(
                "sh",
                "-c",
                "echo $$ > %s && dd if=/dev/zero of=%s bs=512 count=3 oflag=dsync"
                        .formatted(group.resolve("cgroup.procs"), trial));
        long took = System.nanoTime() - start;
        limit(false);
        Files.delete(trial);
        if (took < TRIAL_NANOS) {
            throw new IOException("the limit of %s does not make a sync slow".formatted(group));
        }
    }

    /** From now on a process's syncs are slow. */
    void slow(long pid) throws IOException {
        Files.writeString(group.resolve("cgroup.procs"), Long.toString(pid));
        limit(true);
    }

    /** As at the beginning, with what it holds. */
    void heal() throws IOException {
        limit(false);
    }

    private void limit(boolean slow) throws IOException {
        if (version1) {
            Files.writeString(
                    group.resolve("blkio.throttle.write_iops_device"), device + " " + (slow ? WRITES_PER_SECOND : 0));
        } else {
            Files.writeString(group.resolve("io.max"), device + " wiops=" + (slow ? WRITES_PER_SECOND : "max"));
        }
    }

    /** Unmounts it, which frees the device; what it held is gone. The processes have ended. */
    @Override
    public void close() {
        try {
            Command.run("umount", "--lazy", directory.toString());
        } catch (IOException e) {
            // It was not mounted, or the machine's next start removes it.
        }
        try {
            Files.deleteIfExists(group);
        } catch (IOException e) {
            // An empty group costs nothing.
        }
    }
}
