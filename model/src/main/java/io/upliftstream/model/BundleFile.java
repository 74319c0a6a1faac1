package io.upliftstream.model;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * A file of a bundle as it was when the bundle was read. Whoever uses it gets bytes with that hash or an exception, whatever has
 * been put in the file's place since.
 *
 * @param sha256 lower-case hexadecimal
 * @param size in bytes
 */
public record BundleFile(Path path, String sha256, long size) {
    private static final int BUFFER = 1 << 16;

    /** The file as it is now. */
    static BundleFile of(Path path) throws IOException {
        MessageDigest digest = digest();
        long size = transfer(path, Long.MAX_VALUE, digest, OutputStream.nullOutputStream());
        return new BundleFile(path, HexFormat.of().formatHex(digest.digest()), size);
    }

    /** @throws IOException if the file cannot be read, or is another one now */
    byte[] read() throws IOException {
        try (InputStream in = Files.newInputStream(path)) {
            byte[] bytes = in.readNBytes(Math.toIntExact(size + 1));
            check(HexFormat.of().formatHex(digest().digest(bytes)));
            return bytes;
        }
    }

    /**
     * Copies the file.
     *
     * @param copy in a directory that nobody else may write to
     * @throws IOException if the file cannot be read, or is another one now
     */
    void copyTo(Path copy) throws IOException {
        MessageDigest digest = digest();
        try (OutputStream out = Files.newOutputStream(copy)) {
            transfer(path, size, digest, out);
        }
        check(HexFormat.of().formatHex(digest.digest()));
    }

    private void check(String found) throws IOException {
        if (!found.equals(sha256)) {
            throw new IOException("%s was changed after its bundle was checked: SHA-256 is %s (expected: %s)"
                    .formatted(path, found, sha256));
        }
    }

    /** Copies a file to a stream, and stops behind so many bytes. */
    private static long transfer(Path file, long most, MessageDigest digest, OutputStream out) throws IOException {
        byte[] buffer = new byte[BUFFER];
        long size = 0;
        try (InputStream in = Files.newInputStream(file)) {
            for (int n = in.read(buffer); n >= 0 && size <= most; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
                out.write(buffer, 0, n);
                size += n;
            }
        }
        return size;
    }

    static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
