package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** A file system in memory (tmpfs), which becomes full or read-only when it is told to. Needs root. */
final class Disk implements AutoCloseable {
    private static final long BYTES = 2L << 30;
    private static final int ATTEMPTS = 50;
    private static final long BETWEEN_ATTEMPTS_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    private final Path directory;

    /** Nothing yet. */
    Disk(Path directory) {
        this.directory = directory;
    }

    /**
     * Mounts it on its directory, which is empty.
     *
     * @throws IOException if this user may not
     */
    void mount() throws IOException {
        Files.createDirectories(directory);
        Command.run("mount", "-t", "tmpfs", "-o", "mode=700,size=" + BYTES, "tmpfs", directory.toString());
    }

    /** Not a byte more than what is there. */
    void fill() throws IOException {
        FileStore store = Files.getFileStore(directory);
        remount(() -> "size=" + Math.max(1, store.getTotalSpace() - store.getUnallocatedSpace()));
    }

    void makeReadOnly() throws IOException {
        remount(() -> "ro");
    }

    /** As at the beginning, with what it holds. */
    void heal() throws IOException {
        remount(() -> "rw,size=" + BYTES);
    }

    private interface Options {
        String now() throws IOException;
    }

    /** A file that is being written to stands against it for the moment, or makes it grow in between. */
    private void remount(Options options) throws IOException {
        for (int attempt = 1; ; attempt++) {
            try {
                Command.run("mount", "-o", "remount," + options.now(), directory.toString());
                return;
            } catch (InterruptedIOException e) {
                throw e;
            } catch (IOException e) {
                if (attempt == ATTEMPTS) {
                    throw e;
                }
                LockSupport.parkNanos(BETWEEN_ATTEMPTS_NANOS);
            }
        }
    }

    /** Unmounts it; what it held is gone. */
    @Override
    public void close() {
        try {
            Command.run("umount", "--lazy", directory.toString());
        } catch (IOException e) {
            // The machine's next start removes it.
        }
    }
}
