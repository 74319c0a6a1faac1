package io.upliftstream.tools.traffic;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Encodes pictures as H.264 without loss, with B-frames and groups of any length, for tests and loads: no free encoder in
 * the bundled FFmpeg has B-frames or is lossless. A block of 16 x 16 pixels is stored (I_PCM) or, where it is what the
 * decoder predicts without motion, skipped; syntax of ITU-T H.264 (08/2021), 7.3, with CAVLC.
 *
 * <p>Colours are those of BT.709 in limited range, and the stream says so. For one thread.
 */
@SuppressWarnings("ArrayRecordComponent") // bytes are handed over, not copied
public final class LosslessH264 {
    /**
     * How pictures refer to each other.
     *
     * @param group pictures from one key frame to the next
     * @param bFrames between two pictures that others refer to; nothing refers to them
     * @param openGroups whether the B-frames before a key frame refer to it too; only the first key frame is an IDR then,
     *     the others have a recovery point
     */
    public record Structure(int group, int bFrames, boolean openGroups) {}

    /**
     * An access unit in Annex B.
     *
     * @param picture number of its picture in the order in which they are shown, from 0
     * @param data without parameter sets
     */
    public record Packet(long picture, boolean keyFrame, byte[] data) {}

    /**
     * A stream from its beginning to its end.
     *
     * @param parameterSets SPS and PPS in Annex B, which a decoder needs before every packet that it begins with
     * @param packets in decoding order
     */
    public record Video(byte[] parameterSets, List<Packet> packets) {}

    private enum Slice {
        P(5, 30),
        B(6, 48),
        I(7, 25);

        final int type;
        /** The mb_type of a stored block. */
        final int stored;

        Slice(int type, int stored) {
            this.type = type;
            this.stored = stored;
        }
    }

    private record Waiting(long number, byte[] picture) {}

    private static final int BLOCK = 16;
    /** Bits of frame_num and pic_order_cnt_lsb. */
    private static final int COUNTER_BITS = 16;

    private final int width;
    private final int height;
    private final int columns;
    private final int rows;
    private final Structure structure;
    private final List<Waiting> waiting = new ArrayList<>();
    private byte[] past = {};
    private byte[] future = {};
    private long shown;
    private long groupStart;
    private long idrStart;
    private int idrs;
    private int references;

    /**
     * @param width in pixels, even
     * @param height in pixels, even
     */
    public LosslessH264(int width, int height, Structure structure) {
        if (width < 2 || height < 2 || (width | height) % 2 != 0 || structure.group < 1 || structure.bFrames < 0) {
            throw new IllegalArgumentException("%d x %d, %s (expected: even sides, a group of at least one picture)"
                    .formatted(width, height, structure));
        }
        this.width = width;
        this.height = height;
        this.structure = structure;
        columns = (width + BLOCK - 1) / BLOCK;
        rows = (height + BLOCK - 1) / BLOCK;
    }

    /** A stream of pictures, given as to {@link #add}. */
    public static Video encode(int width, int height, Structure structure, List<byte[]> pictures) {
        LosslessH264 encoder = new LosslessH264(width, height, structure);
        List<Packet> packets = new ArrayList<>();
        pictures.forEach(picture -> packets.addAll(encoder.add(picture)));
        packets.addAll(encoder.flush());
        return new Video(encoder.parameterSets(), packets);
    }

    /**
     * Takes the next picture in the order in which they are shown.
     *
     * @param i420 planes Y, Cb and Cr of width x height bytes and twice a quarter of that
     * @return packets that are complete with it, in decoding order
     */
    public List<Packet> add(byte[] i420) {
        if (i420.length != width * height * 3 / 2) {
            throw new IllegalArgumentException(
                    "picture: %d bytes (expected: %d)".formatted(i420.length, width * height * 3 / 2));
        }
        waiting.add(new Waiting(shown, blocks(i420)));
        long inGroup = shown++ - groupStart;
        boolean key = inGroup == 0 || inGroup == structure.group;
        boolean last = !structure.openGroups && inGroup == structure.group - 1;
        boolean enough = waiting.size() > structure.bFrames;
        if (inGroup == structure.group) {
            groupStart = shown - 1;
        }
        return key || last || enough ? flush() : List.of();
    }

    /** Packets of the pictures that still wait, in decoding order; the last of them is no B-frame. */
    public List<Packet> flush() {
        if (waiting.isEmpty()) {
            return List.of();
        }
        List<Packet> packets = new ArrayList<>();
        Waiting anchor = waiting.remove(waiting.size() - 1);
        past = future;
        future = anchor.picture;
        boolean key = anchor.number == groupStart;
        if (key && (!structure.openGroups || anchor.number == 0)) {
            idrStart = anchor.number;
            references = 0;
            packets.add(packet(anchor, nal(0x65, slice(Slice.I, anchor, true)), true));
            idrs++;
        } else if (key) {
            byte[] recovery = nal(
                    0x06, new Bits().u(6, 8).u(1, 8).ue(0).u(0b1000, 4).align().trailing());
            packets.add(packet(anchor, join(recovery, nal(0x61, slice(Slice.I, anchor, false))), true));
        } else {
            packets.add(packet(anchor, nal(0x61, slice(Slice.P, anchor, false)), false));
        }
        references++;
        for (Waiting between : waiting) {
            packets.add(packet(between, nal(0x01, slice(Slice.B, between, false)), false));
        }
        waiting.clear();
        return packets;
    }

    private static Packet packet(Waiting picture, byte[] data, boolean key) {
        return new Packet(picture.number, key, data);
    }

    /** SPS and PPS in Annex B. */
    public byte[] parameterSets() {
        Bits sps = new Bits().u(77, 8).u(0, 8).u(51, 8).ue(0); // Main profile, level 5.1
        sps.ue(COUNTER_BITS - 4).ue(0).ue(COUNTER_BITS - 4).ue(2).u(0, 1); // two reference frames
        sps.ue(columns - 1).ue(rows - 1).u(0b11, 2);
        sps.u(1, 1).ue(0).ue((columns * BLOCK - width) / 2).ue(0).ue((rows * BLOCK - height) / 2);
        sps.u(1, 1).u(0, 2).u(1, 1).u(5, 3).u(0, 1).u(1, 1).u(1, 8).u(1, 8).u(1, 8); // BT.709, limited range
        sps.u(0, 5).u(0b11, 2).ue(0).ue(0).ue(11).ue(11);
        sps.ue(structure.bFrames > 0 ? 1 : 0).ue(2); // pictures that wait for others, and all that are kept
        Bits pps = new Bits()
                .ue(0)
                .ue(0)
                .u(0, 2)
                .ue(0)
                .ue(0)
                .ue(0)
                .u(0, 3)
                .ue(0)
                .ue(0)
                .ue(0)
                .u(0b100, 3);
        return join(nal(0x67, sps.trailing()), nal(0x68, pps.trailing()));
    }

    private byte[] slice(Slice slice, Waiting picture, boolean idr) {
        Bits bits = new Bits().ue(0).ue(slice.type).ue(0).u(idr ? 0 : references, COUNTER_BITS);
        if (idr) {
            bits.ue(idrs % 2);
        }
        bits.u((int) (2 * (picture.number - idrStart)), COUNTER_BITS);
        switch (slice) {
            case I -> bits.u(0, idr ? 2 : 1);
            case P -> bits.u(0, 3);
            case B -> bits.u(0b1000, 4);
        }
        bits.ue(0).ue(1); // no change of the quantiser, no deblocking
        int skipped = 0;
        int blockBytes = BLOCK * BLOCK * 3 / 2;
        for (int at = 0; at < picture.picture.length; at += blockBytes) {
            if (slice != Slice.I && predicted(slice, picture.picture, at, at + blockBytes)) {
                skipped++;
                continue;
            }
            if (slice != Slice.I) {
                bits.ue(skipped);
                skipped = 0;
            }
            bits.ue(slice.stored).align().bytes(picture.picture, at, blockBytes);
        }
        if (skipped > 0) {
            bits.ue(skipped);
        }
        return bits.trailing();
    }

    private boolean predicted(Slice slice, byte[] picture, int from, int to) {
        if (slice == Slice.P) {
            return Arrays.equals(picture, from, to, past, from, to);
        }
        return Arrays.equals(picture, from, to, past, from, to) && Arrays.equals(picture, from, to, future, from, to);
    }

    /** The planes block by block, as they are stored; what is beyond the edge repeats it. */
    private byte[] blocks(byte[] i420) {
        byte[] blocks = new byte[columns * rows * BLOCK * BLOCK * 3 / 2];
        int at = 0;
        for (int block = 0; block < columns * rows; block++) {
            int plane = 0;
            for (int shift = 0; shift < 3; shift++) { // Y, then Cb and Cr of half the size
                int side = shift == 0 ? BLOCK : BLOCK / 2;
                int planeWidth = shift == 0 ? width : width / 2;
                int planeHeight = shift == 0 ? height : height / 2;
                for (int y = 0; y < side; y++) {
                    int row = Math.min(block / columns * side + y, planeHeight - 1);
                    for (int x = 0; x < side; x++) {
                        int column = Math.min(block % columns * side + x, planeWidth - 1);
                        blocks[at++] = i420[plane + row * planeWidth + column];
                    }
                }
                plane += planeWidth * planeHeight;
            }
        }
        return blocks;
    }

    /** A picture's planes by BT.709 in limited range; each colour is the mean of four pixels. */
    public static byte[] i420(BufferedImage picture) {
        int width = picture.getWidth() & ~1;
        int height = picture.getHeight() & ~1;
        byte[] planes = new byte[width * height * 3 / 2];
        int[] pixels = picture.getRGB(0, 0, width, height, null, 0, width);
        for (int i = 0; i < pixels.length; i++) {
            double luma =
                    0.2126 * (pixels[i] >> 16 & 0xff) + 0.7152 * (pixels[i] >> 8 & 0xff) + 0.0722 * (pixels[i] & 0xff);
            planes[i] = (byte) Math.round(16 + luma * 219 / 255);
        }
        int at = width * height;
        for (int y = 0; y < height; y += 2) {
            for (int x = 0; x < width; x += 2, at++) {
                double red = mean(pixels, y * width + x, width, 16);
                double blue = mean(pixels, y * width + x, width, 0);
                double luma = 0.2126 * red + 0.7152 * mean(pixels, y * width + x, width, 8) + 0.0722 * blue;
                planes[at] = (byte) Math.round(128 + (blue - luma) / 1.8556 * 224 / 255);
                planes[at + width * height / 4] = (byte) Math.round(128 + (red - luma) / 1.5748 * 224 / 255);
            }
        }
        return planes;
    }

    private static double mean(int[] pixels, int at, int width, int shift) {
        return ((pixels[at] >> shift & 0xff)
                        + (pixels[at + 1] >> shift & 0xff)
                        + (pixels[at + width] >> shift & 0xff)
                        + (pixels[at + width + 1] >> shift & 0xff))
                / 4.0;
    }

    /** A NAL unit behind its start code, its bytes so that none looks like another start code. */
    private static byte[] nal(int header, byte[] payload) {
        ByteArrayOutputStream unit = new ByteArrayOutputStream(payload.length + payload.length / 64 + 8);
        unit.writeBytes(new byte[] {0, 0, 0, 1, (byte) header});
        int zeros = 0;
        for (byte next : payload) {
            if (zeros >= 2 && next >= 0 && next <= 3) {
                unit.write(3);
                zeros = 0;
            }
            unit.write(next);
            zeros = next == 0 ? zeros + 1 : 0;
        }
        return unit.toByteArray();
    }

    private static byte[] join(byte[] first, byte[] second) {
        byte[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    /** Bits, the highest first. */
    private static final class Bits {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private int open;
        private int count;

        Bits u(int value, int bits) {
            for (int bit = bits - 1; bit >= 0; bit--) {
                open = open << 1 | (value >> bit & 1);
                if (++count == 8) {
                    bytes.write(open);
                    open = 0;
                    count = 0;
                }
            }
            return this;
        }

        /** Exp-Golomb. */
        Bits ue(int value) {
            int length = 32 - Integer.numberOfLeadingZeros(value + 1);
            return u(0, length - 1).u(value + 1, length);
        }

        Bits align() {
            return count == 0 ? this : u(0, 8 - count);
        }

        void bytes(byte[] from, int offset, int length) {
            bytes.write(from, offset, length);
        }

        byte[] trailing() {
            u(1, 1).align();
            return bytes.toByteArray();
        }
    }
}
