package io.upliftstream.job;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/**
 * Text that others chose, cut to what a record may carry. An id that is cut keeps its beginning and gets a hash of the whole,
 * so that two long ones stay two.
 */
final class BoundedText {
    /** The characters (UTF-16 code units) of a camera id or a key; in UTF-8 these are up to three times as many bytes. */
    static final int MAX_ID = 256;

    private static final int HASH_DIGITS = 16;

    private BoundedText() {}

    /** A camera id of at most {@value #MAX_ID} characters. */
    static String id(String text) {
        return id(text, MAX_ID);
    }

    /** An id of at most so many characters. */
    static String id(String text, int characters) {
        if (text.length() <= characters) {
            return text;
        }
        String hash = sha256(text.getBytes(StandardCharsets.UTF_8)).substring(0, HASH_DIGITS);
        return start(text, characters - HASH_DIGITS - 1) + "#" + hash;
    }

    /** The key of a Kafka record: text as {@link #id} has it, else at most {@value #MAX_ID} bytes. */
    static byte @Nullable [] key(byte @Nullable [] key) {
        if (key == null || key.length <= MAX_ID) {
            return key;
        }
        String text = decode(key);
        if (text != null) {
            return text.length() <= MAX_ID ? key : id(text).getBytes(StandardCharsets.UTF_8);
        }
        byte[] hash = ("#" + sha256(key).substring(0, HASH_DIGITS)).getBytes(StandardCharsets.US_ASCII);
        byte[] cut = Arrays.copyOf(key, MAX_ID);
        System.arraycopy(hash, 0, cut, MAX_ID - hash.length, hash.length);
        return cut;
    }

    /** The first characters of a text, without half a surrogate pair at their end. */
    static String start(String text, int characters) {
        if (text.length() <= characters) {
            return text;
        }
        return text.substring(0, Character.isHighSurrogate(text.charAt(characters - 1)) ? characters - 1 : characters);
    }

    /** On one line, whatever a camera is called: control, format and separator characters become blanks. */
    static String oneLine(String text) {
        return text.replaceAll("[\\p{C}\\p{Zl}\\p{Zp}]", " ");
    }

    /** UTF-8 as text; null if there are no bytes, or they are none. */
    static @Nullable String decode(byte @Nullable [] utf8) {
        if (utf8 == null) {
            return null;
        }
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(utf8))
                    .toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    /** 64 hexadecimal digits. */
    static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
