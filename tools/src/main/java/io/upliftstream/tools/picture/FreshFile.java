package io.upliftstream.tools.picture;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.UUID;

/**
 * Results in a directory that others may write to as well: a link that lies where a file goes is replaced, and what it
 * leads to is left alone. A file is there whole or not at all.
 */
public final class FreshFile {
    private FreshFile() {}

    /** Writes a file, in place of what has its name. */
    public static void write(Path file, byte[] content) throws IOException {
        write(file, ByteBuffer.wrap(content));
    }

    /** Writes a file of several parts, in place of what has its name; the buffers' positions stay. */
    public static void write(Path file, ByteBuffer... parts) throws IOException {
        Path fresh = file.resolveSibling("." + UUID.randomUUID() + ".part");
        try {
            try (FileChannel out = FileChannel.open(fresh, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                for (ByteBuffer part : parts) {
                    ByteBuffer rest = part.duplicate();
                    while (rest.hasRemaining()) {
                        out.write(rest);
                    }
                }
            }
            Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileSystemException | ClosedByInterruptException e) {
            throw e; // which names its file, or has none to blame
        } catch (IOException e) { // such as a disk that is full
            throw new IOException(file.toAbsolutePath() + ": " + e.getMessage(), e);
        } finally {
            Files.deleteIfExists(fresh);
        }
    }

    /**
     * A directory in another, which is created if it is missing.
     *
     * @throws IOException if a link has its name
     */
    public static Path directory(Path parent, String name) throws IOException {
        Path directory = parent.resolve(name);
        if (Files.isSymbolicLink(directory)) {
            throw new IOException(directory + ": a link (expected: a directory)");
        }
        return Files.createDirectories(directory);
    }
}
