package io.upliftstream.schemas;

import com.github.luben.zstd.Zstd;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.NullMarked;

/**
 * Masks to bytes and back: one byte per pixel, row by row from the upper left. docs/schemas.md defines the encodings byte
 * by byte.
 */
@NullMarked
public final class MaskCodec {
    /** Largest mask that is written or read, in pixels. */
    public static final int MAX_PIXELS = 1 << 26;

    private static final int MAX_VARINT_BYTES = 5;

    private MaskCodec() {}

    /**
     * Encodes a mask.
     *
     * @param labels width * height bytes; not kept
     * @throws IllegalArgumentException if the sizes do not fit each other or {@link #MAX_PIXELS}
     */
    public static Mask encode(MaskEncoding encoding, byte[] labels, int width, int height) {
        if (width < 1 || height < 1 || (long) width * height > MAX_PIXELS || labels.length != width * height) {
            throw new IllegalArgumentException(
                    "mask: %d labels for %d x %d (expected: width * height of them, at most %d)"
                            .formatted(labels.length, width, height, MAX_PIXELS));
        }
        ByteBuffer data =
                switch (encoding) {
                    case RLE -> encodeRuns(labels);
                    case PNG -> ByteBuffer.wrap(GreyPng.encode(labels, width, height));
                    case RAW_ZSTD -> ByteBuffer.wrap(Zstd.compress(labels, TensorCodec.ZSTD_LEVEL));
                    case UNKNOWN ->
                        throw new IllegalArgumentException("mask encoding: UNKNOWN (expected: RLE, PNG or RAW_ZSTD)");
                };
        return new Mask(encoding, width, height, data, null);
    }

    /** As {@link #decode(Mask, int)}, of up to {@link #MAX_PIXELS}. */
    public static byte[] decode(Mask mask) {
        return decode(mask, MAX_PIXELS);
    }

    /**
     * Decodes a mask.
     *
     * @param maxPixels the largest mask to decode; a few kilobytes can honestly be a mask of {@link #MAX_PIXELS}
     * @return width * height bytes
     * @throws MalformedRecordException if there are more pixels, or the bytes do not hold a mask of the stated size
     */
    public static byte[] decode(Mask mask, int maxPixels) {
        int width = mask.getWidth();
        int height = mask.getHeight();
        int most = Math.min(maxPixels, MAX_PIXELS);
        if (width < 1 || height < 1 || (long) width * height > most) {
            throw new MalformedRecordException(
                    "mask: %d x %d pixels (expected: at least 1 x 1, at most %d)".formatted(width, height, most));
        }
        Payloads.requireHere("mask", mask.getReference());
        return switch (mask.getEncoding()) {
            case RLE -> decodeRuns(mask.getData(), width * height);
            case PNG -> GreyPng.decode(mask.getData(), width, height);
            case RAW_ZSTD -> TensorCodec.decompress(mask.getData(), width * height);
            case UNKNOWN ->
                throw new MalformedRecordException(
                        "mask encoding: one of a newer schema (expected: RLE, PNG or RAW_ZSTD)");
        };
    }

    private static ByteBuffer encodeRuns(byte[] labels) {
        byte[] runs = new byte[Math.max(64, labels.length / 16)];
        int end = 0;
        for (int start = 0; start < labels.length; ) {
            // Where the labels first differ from themselves moved by one, a run ends; mismatch is vectorised.
            int same = Arrays.mismatch(labels, start, labels.length - 1, labels, start + 1, labels.length);
            int length = same < 0 ? labels.length - start : same + 1;
            if (end + 1 + MAX_VARINT_BYTES > runs.length) {
                runs = Arrays.copyOf(runs, 2 * runs.length);
            }
            runs[end++] = labels[start];
            start += length;
            for (; length >= 0x80; length >>>= 7) {
                runs[end++] = (byte) (length | 0x80);
            }
            runs[end++] = (byte) length;
        }
        return ByteBuffer.wrap(Arrays.copyOf(runs, end));
    }

    private static byte[] decodeRuns(ByteBuffer data, int pixels) {
        byte[] runs = new byte[data.remaining()];
        data.get(data.position(), runs);
        byte[] labels = new byte[pixels];
        int filled = 0;
        for (int at = 0; at < runs.length; ) {
            byte label = runs[at++];
            long length = 0;
            int next = 0x80;
            for (int shift = 0; (next & 0x80) != 0; shift += 7) {
                if (at == runs.length || shift == 7 * MAX_VARINT_BYTES) {
                    throw new MalformedRecordException(
                            "mask: a run without the end of its length (expected: a varint of at most %d bytes)"
                                    .formatted(MAX_VARINT_BYTES));
                }
                next = runs[at++];
                length |= (long) (next & 0x7F) << shift;
            }
            if (length == 0 || length > pixels - filled) {
                throw new MalformedRecordException(
                        "mask: a run of %d pixels after %d of %d (expected: 1 to what is left)"
                                .formatted(length, filled, pixels));
            }
            Arrays.fill(labels, filled, filled += (int) length, label);
        }
        if (filled != pixels) {
            throw new MalformedRecordException("mask: runs of %d pixels (expected: %d)".formatted(filled, pixels));
        }
        return labels;
    }
}
