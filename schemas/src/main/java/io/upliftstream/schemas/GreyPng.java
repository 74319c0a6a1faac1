package io.upliftstream.schemas;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.jspecify.annotations.NullMarked;

/**
 * PNG files of 8-bit greyscale without interlace (PNG specification, third edition). Masks need no more, and this is
 * several times faster than {@code javax.imageio}; whatever other PNG a mask may hold is refused by name.
 */
@NullMarked
final class GreyPng {
    private static final long SIGNATURE = 0x89504E470D0A1A0AL;
    private static final int IHDR = 0x49484452;
    private static final int IDAT = 0x49444154;
    private static final int IEND = 0x49454E44;
    private static final int HEADER_LENGTH = 13;
    /** The level of deflate: it is as fast as 1 and a tenth smaller on masks; 3 and more cost far more than they save. */
    private static final int LEVEL = 2;
    /** Bytes of a chunk beside its data: length, type, CRC-32. */
    private static final int CHUNK = 12;

    private GreyPng() {}

    static byte[] encode(byte[] pixels, int width, int height) {
        // Each row begins with its filter's type: 0, none, which suits labels best.
        byte[] rows = new byte[(width + 1) * height];
        for (int y = 0; y < height; y++) {
            System.arraycopy(pixels, y * width, rows, y * (width + 1) + 1, width);
        }
        byte[] deflated = new byte[Math.max(1024, pixels.length / 16)];
        int length = 0;
        Deflater deflater = new Deflater(LEVEL);
        try {
            deflater.setInput(rows);
            deflater.finish();
            while (!deflater.finished()) {
                if (length == deflated.length) {
                    deflated = Arrays.copyOf(deflated, 2 * length);
                }
                length += deflater.deflate(deflated, length, deflated.length - length);
            }
        } finally {
            deflater.end();
        }
        ByteBuffer png = ByteBuffer.allocate(Long.BYTES + CHUNK + HEADER_LENGTH + CHUNK + length + CHUNK);
        png.putLong(SIGNATURE);
        byte[] header = ByteBuffer.allocate(HEADER_LENGTH)
                .putInt(width)
                .putInt(height)
                .put((byte) 8) // bits per sample; colour type, compression, filter and interlace method are 0
                .array();
        putChunk(png, IHDR, header, header.length);
        putChunk(png, IDAT, deflated, length);
        putChunk(png, IEND, header, 0);
        return png.array();
    }

    static byte[] decode(ByteBuffer data, int width, int height) {
        ByteBuffer png = data.slice();
        if (png.remaining() < Long.BYTES || png.getLong() != SIGNATURE) {
            throw malformed("without its signature (expected: 89504e470d0a1a0a)");
        }
        byte[] rows = {}; // until the header was found to be what the mask says
        int filled = 0;
        Inflater inflater = new Inflater();
        try {
            while (true) {
                if (png.remaining() < CHUNK) {
                    throw malformed("that ends early (expected: an IEND chunk)");
                }
                int length = png.getInt();
                int type = png.getInt();
                if (length < 0 || length > png.remaining() - Integer.BYTES) {
                    throw malformed("with a chunk beyond its end (expected: whole chunks)");
                }
                ByteBuffer chunk = png.slice(png.position(), length);
                CRC32 crc = new CRC32();
                crc.update(png.slice(png.position() - Integer.BYTES, Integer.BYTES + length));
                png.position(png.position() + length);
                if (png.getInt() != (int) crc.getValue()) {
                    throw malformed("with a damaged chunk (expected: its CRC-32)");
                }
                if (type == IHDR) {
                    checkHeader(chunk, width, height);
                    rows = rows.length == 0 ? new byte[(width + 1) * height] : rows;
                } else if (rows.length == 0) {
                    throw malformed("without a header (expected: an IHDR chunk before all others)");
                } else if (type == IDAT) {
                    inflater.setInput(chunk);
                    filled += inflater.inflate(rows, filled, rows.length - filled);
                } else if (type == IEND) {
                    break;
                }
            }
        } catch (DataFormatException e) {
            throw malformed("with damaged pixels (expected: a zlib stream)");
        } finally {
            inflater.end();
        }
        if (filled != rows.length) {
            throw malformed("with %d bytes of pixels (expected: %d)".formatted(filled, rows.length));
        }
        return unfilter(rows, width, height);
    }

    private static void checkHeader(ByteBuffer chunk, int width, int height) {
        if (chunk.remaining() != HEADER_LENGTH || chunk.getInt(0) != width || chunk.getInt(4) != height) {
            throw malformed("of another size (expected: %d x %d)".formatted(width, height));
        }
        if (chunk.get(8) != 8 || chunk.get(9) != 0 || chunk.get(10) != 0 || chunk.get(11) != 0 || chunk.get(12) != 0) {
            throw malformed("of another kind (expected: 8-bit greyscale, not interlaced)");
        }
    }

    private static byte[] unfilter(byte[] rows, int width, int height) {
        byte[] pixels = new byte[width * height];
        byte[] above = new byte[width];
        byte[] row = new byte[width];
        for (int y = 0; y < height; y++) {
            int from = y * (width + 1);
            int filter = rows[from++];
            System.arraycopy(rows, from, row, 0, width);
            switch (filter) {
                case 0 -> {}
                case 1 -> {
                    for (int x = 1; x < width; x++) {
                        row[x] += row[x - 1];
                    }
                }
                case 2 -> {
                    for (int x = 0; x < width; x++) {
                        row[x] += above[x];
                    }
                }
                case 3 -> {
                    for (int x = 0; x < width; x++) {
                        int left = x == 0 ? 0 : row[x - 1] & 0xFF;
                        row[x] += (byte) ((left + (above[x] & 0xFF)) >> 1);
                    }
                }
                case 4 -> {
                    for (int x = 0; x < width; x++) {
                        int left = x == 0 ? 0 : row[x - 1] & 0xFF;
                        int corner = x == 0 ? 0 : above[x - 1] & 0xFF;
                        row[x] += (byte) paeth(left, above[x] & 0xFF, corner);
                    }
                }
                default -> throw malformed("with a row of filter type %d (expected: 0 to 4)".formatted(filter));
            }
            System.arraycopy(row, 0, pixels, y * width, width);
            byte[] next = above;
            above = row;
            row = next;
        }
        return pixels;
    }

    private static int paeth(int left, int above, int corner) {
        int toLeft = Math.abs(above - corner);
        int toAbove = Math.abs(left - corner);
        int toCorner = Math.abs(left + above - 2 * corner);
        if (toLeft <= toAbove && toLeft <= toCorner) {
            return left;
        }
        return toAbove <= toCorner ? above : corner;
    }

    private static void putChunk(ByteBuffer png, int type, byte[] data, int length) {
        png.putInt(length);
        int start = png.position();
        png.putInt(type).put(data, 0, length);
        CRC32 crc = new CRC32();
        crc.update(png.slice(start, Integer.BYTES + length));
        png.putInt((int) crc.getValue());
    }

    private static MalformedRecordException malformed(String what) {
        return new MalformedRecordException("mask: a PNG " + what);
    }
}
