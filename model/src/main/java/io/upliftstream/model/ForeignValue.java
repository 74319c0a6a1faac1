package io.upliftstream.model;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.util.List;
import java.util.Set;

/** Says what bytes look like that are no image of this module, and what their sender may do about it. */
public final class ForeignValue {
    private static final String CONVERT = "send it as JPEG or PNG";
    private static final String SPLIT = "send its frames one by one as JPEG or PNG, as uplift publish does";
    private static final String UNPACK = "send what is packed in it, or let Kafka compress";
    private static final String TRIM = "send the image's own bytes alone";

    /** Bytes at the beginning of a value in which an image's own beginning is looked for. */
    private static final int PREFIX = 256;

    /** Identifiers of schemas are small: registries count them from 1. */
    private static final int MAX_SCHEMA = 1 << 24;

    /** Characters of a text that are quoted. */
    private static final int QUOTED = 40;

    /** The second bytes of an SPS by profile, of a VPS and of access unit delimiters: H.264 and H.265. */
    private static final Set<Integer> UNIT_STARTS = Set.of(
            0x6742, 0x674d, 0x6758, 0x6764, 0x676e, 0x677a, 0x2742, 0x274d, 0x2764, 0x0910, 0x0930, 0x0950, 0x09f0,
            0x4001, 0x4201, 0x4601);

    /** What begins with these bytes, in Latin-1, at some place. */
    private record Magic(int at, String bytes, String kind, String advice) {
        boolean matches(String start) {
            return start.startsWith(bytes, at);
        }
    }

    private static final List<Magic> MAGIC = List.of(
            new Magic(8, "WEBP", "a WebP image", CONVERT),
            new Magic(8, "AVI ", "an AVI video", SPLIT),
            new Magic(4, "ftypavi", "an AVIF image", CONVERT),
            new Magic(4, "ftyphe", "a HEIF image", CONVERT),
            new Magic(4, "ftypmif1", "a HEIF image", CONVERT),
            new Magic(4, "ftyp", "an MP4 video", SPLIT),
            new Magic(4, "JXL ", "a JPEG XL image", CONVERT),
            new Magic(0, "\u00ff\n", "a JPEG XL image", CONVERT),
            new Magic(4, "jP  ", "a JPEG 2000 image", CONVERT),
            new Magic(0, "\u00ffO\u00ffQ", "a JPEG 2000 image", CONVERT),
            new Magic(0, "GIF8", "a GIF image", CONVERT),
            new Magic(0, "BM", "a BMP image", CONVERT),
            new Magic(0, "II*\0", "a TIFF image", CONVERT),
            new Magic(0, "MM\0*", "a TIFF image", CONVERT),
            new Magic(0, "P5\n", "a PGM image", CONVERT),
            new Magic(0, "P6\n", "a PPM image", CONVERT),
            new Magic(0, "\u0093NUMPY", "a NumPy array", CONVERT),
            new Magic(0, "\u001aE\u00df\u00a3", "a Matroska or WebM video", SPLIT),
            new Magic(0, "FLV\u0001", "an FLV video", SPLIT),
            new Magic(0, "\u001f\u008b", "data in gzip", UNPACK),
            new Magic(0, "(\u00b5/\u00fd", "data in zstd", UNPACK),
            new Magic(0, "\u0004\"M\u0018", "data in lz4", UNPACK),
            new Magic(0, "PK\u0003\u0004", "a ZIP archive", UNPACK),
            new Magic(0, "Obj\u0001", "an Avro file", "send records in Avro's single-object encoding"),
            new Magic(0, "\u00ac\u00ed\0\u0005", "a serialised Java object", TRIM),
            new Magic(0, "\u0080\u0004\u0095", "a Python pickle", TRIM),
            new Magic(0, "\u0080\u0005\u0095", "a Python pickle", TRIM),
            new Magic(0, "/9j/", "a JPEG in base64", "send the bytes that it stands for"),
            new Magic(0, "iVBORw0KGgo", "a PNG in base64", "send the bytes that it stands for"),
            new Magic(0, "data:image/", "an image in a data URL", "send the bytes that its base64 stands for"));

    private ForeignValue() {}

    /** Says, in one clause, how many bytes these are, what they look like, and what to send instead. */
    public static String describe(byte[] value) {
        String found = kind(value);
        return found.isEmpty()
                ? "%d bytes of no known kind".formatted(value.length)
                : "%d bytes that look like %s".formatted(value.length, found);
    }

    /** Kind and advice, or an empty text. */
    private static String kind(byte[] value) {
        String start = new String(value, 0, Math.min(value.length, PREFIX), ISO_8859_1);
        if (isVideo(value)) {
            return "H.264 or H.265 video: " + SPLIT;
        }
        for (Magic magic : MAGIC) {
            if (magic.matches(start)) {
                return magic.kind + ": " + magic.advice;
            }
        }
        if (value.length > 188 && start.charAt(0) == 'G' && start.charAt(188) == 'G') {
            return "an MPEG transport stream: " + SPLIT;
        }
        int schema = value.length > 5 && value[0] == 0 ? ByteBuffer.wrap(value).getInt(1) : 0;
        if (schema > 0 && schema < MAX_SCHEMA) {
            return "a record in Confluent's framing, of schema %d: ".formatted(schema)
                    + "send CameraFrame in Avro's single-object encoding, or a bare image, or name the schema registry";
        }
        int jpeg = start.indexOf("\u00ff\u00d8\u00ff");
        int png = start.indexOf("\u0089PNG\r\n");
        if (jpeg >= 0 || png >= 0) {
            return "%s behind %d other bytes: %s"
                    .formatted(jpeg >= 0 ? "a JPEG" : "a PNG", jpeg >= 0 ? jpeg : png, TRIM);
        }
        return text(value);
    }

    /** Whether the bytes are NAL units behind start codes (ITU-T H.264, annex B); Confluent's framing may begin alike. */
    private static boolean isVideo(byte[] value) {
        int code = 0;
        while (code < 3 && code < value.length && value[code] == 0) {
            code++;
        }
        if (code < 2 || value.length < code + 3 || value[code] != 1) {
            return false;
        }
        int unit = (value[code + 1] & 0xff) << 8 | (value[code + 2] & 0xff);
        if (UNIT_STARTS.contains(unit)) {
            return true;
        }
        for (int i = code + 1; i < value.length - 2; i++) { // inside a unit there is no start code
            if (value[i] == 0 && value[i + 1] == 0 && value[i + 2] == 1) {
                return true;
            }
        }
        return false;
    }

    private static String text(byte[] value) {
        CharBuffer start = CharBuffer.allocate(PREFIX);
        boolean all = value.length <= PREFIX; // else a character may be cut at the end
        ByteBuffer bytes = ByteBuffer.wrap(value, 0, Math.min(value.length, PREFIX));
        if (UTF_8.newDecoder().decode(bytes, start, all).isError()) {
            return "";
        }
        String text = start.flip().toString();
        if (text.isEmpty() || text.chars().anyMatch(character -> character < ' ' && "\t\n\r".indexOf(character) < 0)) {
            return "";
        }
        String body = text.strip();
        String kind = body.startsWith("{") || body.startsWith("[") ? "JSON" : body.startsWith("<") ? "XML" : "text";
        int end = text.offsetByCodePoints(0, Math.min(text.codePointCount(0, text.length()), QUOTED));
        String quoted = text.substring(0, end).replaceAll("[\\p{C}\\p{Z}]", " ");
        return "%s, '%s%s': send the image itself, not what is said of it"
                .formatted(kind, quoted, end < text.length() || !all ? "…" : "");
    }
}
