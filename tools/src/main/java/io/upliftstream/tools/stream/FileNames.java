package io.upliftstream.tools.stream;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * File names of what strangers named. A short name of lower-case ASCII letters, digits, dots, hyphens and underscores is
 * its own file name; of every other, what cannot stay becomes an underscore, the rest is cut, and a tilde and a hash of
 * the whole follow: {@code lobby_1~1c2f…}. So no two names have the same file, on a file system without upper case
 * either, and none leads out of its directory, is hidden or looks like an option.
 */
public final class FileNames {
    private static final int MAX_LENGTH = 64;
    /** Of the hash: who names a camera may look for another name with the same. */
    private static final int HASH_BYTES = 8;

    private FileNames() {}

    /** A file name, or the part of one that is before a dot. */
    public static String of(String name) {
        String safe = name.replaceAll("[^A-Za-z0-9._-]", "_").replaceFirst("^([.-]|$)", "_");
        if (safe.length() > MAX_LENGTH) {
            safe = safe.substring(0, MAX_LENGTH);
        }
        boolean itself = safe.equals(name) && name.chars().noneMatch(Character::isUpperCase);
        return itself ? name : safe + "~" + hash(name);
    }

    /** As {@link #of}, without dots: what is between two of them. */
    public static String withoutDots(String name) {
        return name.indexOf('.') < 0
                ? of(name)
                : of(name).replaceFirst("~.*", "").replace('.', '_') + "~" + hash(name);
    }

    private static String hash(String name) {
        try {
            // Every char as it is: an encoding has one replacement for all lone surrogates.
            ByteBuffer chars = ByteBuffer.allocate(Character.BYTES * name.length());
            chars.asCharBuffer().put(name);
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(chars.array());
            return HexFormat.of().formatHex(hash, 0, HASH_BYTES);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
