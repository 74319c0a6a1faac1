package io.upliftstream.model;

import io.upliftstream.model.FrameException.Reason;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;

/**
 * What a JPEG or PNG says of itself, read without decoding a pixel: one pass over its markers or chunks, which allocates
 * nothing that the image could choose the size of.
 *
 * <p>What it says bounds the work of decoding it, and an image that would take more is refused: by its pixels, by the
 * passes over them that a progressive JPEG asks for, and by what a PNG's bytes can hold. Only an image that passed may go
 * to a decoder.
 *
 * @param width in pixels as stored
 * @param height in pixels as stored
 * @param orientation of EXIF, 1 to 8, which turns the image upright
 */
public record ImageHeader(boolean jpeg, int width, int height, int orientation) {
    /** The pixels that either side of an image may have. */
    static final int MAX_SIDE = 32_768;

    /**
     * The scans of a JPEG. Encoders write a dozen or fewer, but each may visit every pixel for some ten bytes of file: 2,831
     * scans of 49 megapixels, 308 KB, took 41 s.
     */
    static final int MAX_SCANS = 64;

    /** The scans of a JPEG that has as many pixels as it may have; a smaller one may have more. */
    private static final int LARGE_SCANS = 16;

    /** The chunks of a PNG. Encoders fill each with 8 KiB and more. */
    static final int MAX_CHUNKS = 100_000;

    /** Bytes that one byte of deflate can become at most: 258 of them take two bits. */
    private static final int DEFLATE_RATIO = 1032;

    private static final byte[] JPEG_SIGNATURE = {(byte) 0xff, (byte) 0xd8, (byte) 0xff};
    private static final byte[] PNG_SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    private static final byte[] EXIF_SIGNATURE = {'E', 'x', 'i', 'f', 0, 0};

    /** Bytes of a PNG chunk beside its content: length, type, checksum. */
    private static final int PNG_CHUNK = 12;
    /** The bit that is set in the type of a PNG chunk that a decoder may skip. */
    private static final int PNG_ANCILLARY = 0x20000000;

    private static final int PNG_IHDR = 0x49484452;
    private static final int PNG_IDAT = 0x49444154;
    private static final int PNG_EXIF = 0x65584966;
    private static final int PNG_IEND = 0x49454e44;

    private static final int EXIF_ORIENTATION = 0x0112;
    private static final int EXIF_SHORT = 3;

    /**
     * Reads the header, and the marks up to the image's end.
     *
     * @param maxPixels of an image as its header states them
     * @throws FrameException EMPTY, NOT_AN_IMAGE, CORRUPT_IMAGE, UNSUPPORTED_IMAGE or TOO_LARGE
     */
    public static ImageHeader read(byte[] image, long maxPixels) throws FrameException {
        if (image.length == 0) {
            throw new FrameException(Reason.EMPTY, "the image has no bytes (expected: a JPEG or PNG)");
        } else if (startsWith(image, 0, JPEG_SIGNATURE)) {
            return readJpeg(image, maxPixels);
        } else if (startsWith(image, 0, PNG_SIGNATURE)) {
            return readPng(image, maxPixels);
        }
        throw new FrameException(
                Reason.NOT_AN_IMAGE, "%s (expected: a JPEG or PNG)".formatted(ForeignValue.describe(image)));
    }

    /**
     * Follows the markers to the end of the image. Inside a scan a byte FF is always followed by 00 or a restart marker, so
     * the bytes of a scan can be stepped over without decoding them.
     */
    private static ImageHeader readJpeg(byte[] jpeg, long maxPixels) throws FrameException {
        ByteBuffer bytes = ByteBuffer.wrap(jpeg);
        int width = 0;
        int height = 0;
        int orientation = 0;
        int scans = 0;
        int frame = 0;
        // By a component's identifier: a bit for each coefficient that is given to its last bit.
        long[] given = new long[256];
        int at = 2;
        while (at + 1 < jpeg.length) {
            if (jpeg[at] != (byte) 0xff) { // nearly all bytes of a scan
                at++;
                continue;
            }
            int marker = jpeg[at + 1] & 0xff;
            if (marker == 0xff) {
                at++;
                continue;
            } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { // these have no length
                at += 2;
                continue;
            } else if (marker == 0xd9) {
                if (scans == 0) {
                    throw corrupt("the JPEG has no scan (expected: one after its frame header)");
                }
                return new ImageHeader(true, width, height, Math.max(1, orientation));
            }
            int content = at + 4;
            int end = at + 3 < jpeg.length ? at + 2 + unsigned(bytes, at + 2) : Integer.MAX_VALUE;
            if (end > jpeg.length) {
                throw truncated(jpeg);
            }
            if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
                if (width > 0 || end < content + 5) {
                    throw corrupt("the JPEG has no proper frame header (expected: one before its scans)");
                }
                checkKind(marker, jpeg[content]);
                height = unsigned(bytes, content + 1);
                width = unsigned(bytes, content + 3);
                frame = content;
                checkSize(width, height, maxPixels);
            } else if (marker == 0xf7) {
                throw new FrameException(
                        Reason.UNSUPPORTED_IMAGE, "the image is a JPEG-LS (expected: a JPEG of ITU-T T.81, or a PNG)");
            } else if (marker == 0xda) {
                if (width == 0) {
                    throw corrupt("the JPEG has no frame header (expected: one before its scan)");
                } else if (++scans > MAX_SCANS || (long) scans * width * height / LARGE_SCANS > maxPixels) {
                    throw new FrameException(
                            Reason.TOO_LARGE,
                            "the JPEG has %d scans or more (expected: at most %d, and %d of an image of %d pixels)"
                                    .formatted(scans, MAX_SCANS, LARGE_SCANS, maxPixels));
                }
                noteScan(jpeg, content, end, given);
            } else if (marker == 0xe1 && orientation == 0 && startsWith(jpeg, content, EXIF_SIGNATURE)) {
                orientation = orientation(jpeg, content, end);
            }
            at = end;
        }
        if (scans == 0) {
            throw truncated(jpeg);
        }
        for (int i = jpeg[frame + 5] & 0xff; i > 0; i--) {
            if (frame + 3 + 3 * i >= jpeg.length || given[jpeg[frame + 3 + 3 * i] & 0xff] != ~0L) {
                throw truncated(jpeg);
            }
        } // only the end-of-image marker is missing, or some of the last scan, which the decoder will say
        return new ImageHeader(true, width, height, Math.max(1, orientation));
    }

    /** Notes which coefficients of which components a scan gives to their last bit; a lossless one gives all. */
    private static void noteScan(byte[] jpeg, int content, int end, long[] given) {
        int components = content < end ? jpeg[content] & 0xff : 0;
        int selection = content + 1 + 2 * components;
        if (selection + 3 > end || (jpeg[selection + 2] & 15) != 0) {
            return;
        }
        int first = jpeg[selection] & 63;
        int last = jpeg[selection + 1] & 63;
        long coefficients = last < first ? ~0L : (~0L << first) & (~0L >>> (63 - last));
        for (int i = 0; i < components; i++) {
            given[jpeg[content + 1 + 2 * i] & 0xff] |= coefficients;
        }
    }

    private static FrameException truncated(byte[] jpeg) {
        return corrupt("the JPEG is truncated after %d bytes (expected: its scans)".formatted(jpeg.length));
    }

    private static void checkKind(int marker, byte bits) throws FrameException {
        String kind = bits != 8
                ? "%d bits a sample".formatted(bits)
                : switch (marker) {
                    case 0xc0, 0xc1, 0xc2, 0xc3, 0xc9, 0xca -> "";
                    case 0xcb -> "lossless arithmetic coding";
                    default -> "a hierarchy of frames";
                };
        if (!kind.isEmpty()) {
            throw new FrameException(
                    Reason.UNSUPPORTED_IMAGE,
                    "the JPEG has %s (expected: 8 bits a sample, baseline, progressive or lossless)".formatted(kind));
        }
    }

    /** Follows the chunks to the end of the image. */
    private static ImageHeader readPng(byte[] png, long maxPixels) throws FrameException {
        ByteBuffer bytes = ByteBuffer.wrap(png);
        int width = 0;
        int height = 0;
        int orientation = 0;
        long raw = 0;
        long compressed = 0;
        int chunks = 0;
        int at = PNG_SIGNATURE.length;
        while (at <= png.length - PNG_CHUNK) {
            int length = bytes.getInt(at);
            int type = bytes.getInt(at + 4);
            int content = at + 8;
            if (length < 0 || length > png.length - PNG_CHUNK - at) {
                break;
            } else if (++chunks > MAX_CHUNKS) {
                throw new FrameException(
                        Reason.TOO_LARGE,
                        "the PNG has more than %1$d chunks (expected: at most %1$d)".formatted(MAX_CHUNKS));
            } else if ((chunks == 1) != (type == PNG_IHDR) || (chunks == 1 && length != 13)) {
                throw corrupt("the PNG has no proper IHDR chunk (expected: one, at its start)");
            }
            switch (type) {
                case PNG_IHDR -> {
                    width = bytes.getInt(content);
                    height = bytes.getInt(content + 4);
                    checkSize(width, height, maxPixels);
                    raw = height * (((long) width * bitsPerPixel(png[content + 8], png[content + 9]) + 7) / 8);
                }
                case PNG_IDAT -> compressed += length;
                case PNG_EXIF -> {
                    if (orientation == 0) {
                        orientation = orientation(png, content, content + length);
                    }
                }
                case PNG_IEND -> {
                    if (DEFLATE_RATIO * compressed < raw) {
                        throw corrupt("the PNG has %d bytes of pixels (expected: at least %d for %d x %d pixels)"
                                .formatted(compressed, raw / DEFLATE_RATIO, width, height));
                    }
                    return new ImageHeader(false, width, height, Math.max(1, orientation));
                }
                default -> {}
            }
            at += PNG_CHUNK + length;
        }
        throw corrupt("the PNG is truncated after %d bytes (expected: an IEND chunk)".formatted(png.length));
    }

    private static int bitsPerPixel(byte depth, byte colourType) throws FrameException {
        int channels =
                switch (colourType) {
                    case 0, 3 -> 1;
                    case 4 -> 2;
                    case 2 -> 3;
                    case 6 -> 4;
                    default -> 0;
                };
        if (channels == 0 || Integer.bitCount(depth) != 1 || depth < 1 || depth > 16) {
            throw corrupt(
                    "the PNG has colour type %d and %d bits (expected: those of PNG)".formatted(colourType, depth));
        }
        return channels * depth;
    }

    private static void checkSize(int width, int height, long maxPixels) throws FrameException {
        if (width < 1 || height < 1) {
            throw corrupt("the image has %d x %d pixels (expected: at least 1 x 1)".formatted(width, height));
        }
        if ((long) width * height > maxPixels || Math.max(width, height) > MAX_SIDE) {
            throw new FrameException(
                    Reason.TOO_LARGE,
                    "the image has %d x %d pixels (expected: at most %d pixels, and %d on a side)"
                            .formatted(width, height, maxPixels, MAX_SIDE));
        }
    }

    /** The orientation, 1 to 8, that a TIFF file states; 1 where it states none. */
    public static int exifOrientation(byte[] tiff) {
        return orientation(tiff, 0, tiff.length);
    }

    /** The orientation that the first directory of EXIF names; 1 where it names none, or the bytes are no EXIF. */
    private static int orientation(byte[] image, int from, int end) {
        // Some write the signature into a PNG's chunk as well.
        int start = startsWith(image, from, EXIF_SIGNATURE) ? from + EXIF_SIGNATURE.length : from;
        if (end - start < 8) {
            return 1;
        }
        ByteBuffer tiff = ByteBuffer.wrap(image, start, end - start).slice();
        tiff.order(tiff.get(0) == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        long directory = tiff.getInt(4) & 0xffffffffL;
        if (directory + 2 > tiff.limit()) {
            return 1;
        }
        int entries = unsigned(tiff, (int) directory);
        for (int entry = (int) directory + 2; entries-- > 0 && entry + 12 <= tiff.limit(); entry += 12) {
            if (unsigned(tiff, entry) == EXIF_ORIENTATION) {
                int value =
                        unsigned(tiff, entry + 2) == EXIF_SHORT ? unsigned(tiff, entry + 8) : tiff.getInt(entry + 8);
                return value >= 1 && value <= 8 ? value : 1;
            }
        }
        return 1;
    }

    private static int unsigned(ByteBuffer bytes, int at) {
        return bytes.getShort(at) & 0xffff;
    }

    private static boolean startsWith(byte[] bytes, int at, byte[] signature) {
        return bytes.length - at >= signature.length
                && Arrays.equals(bytes, at, at + signature.length, signature, 0, signature.length);
    }

    private static FrameException corrupt(String message) {
        return new FrameException(Reason.CORRUPT_IMAGE, message);
    }

    /**
     * The bytes that a decoder gets: a JPEG with an end-of-image marker, and a PNG up to its IEND, without its ancillary
     * chunks (those whose type begins with a lower-case letter; PNG specification, 5.4). OpenCV reads on behind an IEND
     * without pixels, reserves what a chunk claims to hold before it looks whether the chunk is there, and takes
     * animations apart: from 500 bytes that made seconds and gigabytes.
     *
     * @param image that this is the header of
     */
    public byte[] decodable(byte[] image) {
        if (jpeg) {
            int length = image.length;
            if (image[length - 2] == (byte) 0xff && image[length - 1] == (byte) 0xd9) {
                return image;
            }
            byte[] ended = Arrays.copyOf(image, length + 2);
            ended[length] = (byte) 0xff;
            ended[length + 1] = (byte) 0xd9;
            return ended;
        }
        ByteBuffer chunks = ByteBuffer.wrap(image);
        ByteBuffer critical = ByteBuffer.allocate(image.length).put(image, 0, PNG_SIGNATURE.length);
        int type = 0;
        for (int at = PNG_SIGNATURE.length; type != PNG_IEND; ) {
            int bytes = PNG_CHUNK + chunks.getInt(at);
            type = chunks.getInt(at + 4);
            if ((type & PNG_ANCILLARY) == 0) {
                critical.put(image, at, bytes);
            }
            at += bytes;
        }
        return Arrays.copyOf(critical.array(), critical.position());
    }

    /** What is wrong with the chunks of a PNG or the data in them, in zlib's words; null for nothing. */
    @Nullable
    String pngFault(byte[] png) {
        ByteBuffer chunks = ByteBuffer.wrap(png);
        byte[] pixels = new byte[1 << 16];
        Inflater inflater = new Inflater();
        try {
            for (int at = PNG_SIGNATURE.length; at < png.length; at += PNG_CHUNK + chunks.getInt(at)) {
                int length = chunks.getInt(at);
                CRC32 checksum = new CRC32();
                checksum.update(png, at + 4, 4 + length);
                if ((int) checksum.getValue() != chunks.getInt(at + 8 + length)) {
                    String type = new String(png, at + 4, 4, StandardCharsets.US_ASCII);
                    return "the checksum of an %s chunk is not that of its content".formatted(type);
                } else if (chunks.getInt(at + 4) == PNG_IDAT) {
                    inflater.setInput(png, at + 8, length);
                    while (inflater.inflate(pixels) > 0 && inflater.getBytesWritten() <= 9L * width * height) {
                        // only whether it can be done
                    }
                }
            }
            return inflater.finished() ? null : "the pixels end early";
        } catch (DataFormatException e) {
            return e.getMessage();
        } finally {
            inflater.end();
        }
    }

    /** Whether the image lies on its side as stored. */
    boolean sideways() {
        return orientation >= 5;
    }
}
