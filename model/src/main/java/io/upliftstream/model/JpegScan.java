package io.upliftstream.model;

import java.nio.ByteBuffer;
import java.util.Arrays;
import javax.imageio.plugins.jpeg.JPEGHuffmanTable;

/**
 * Steps over the Huffman codes of a JPEG without decoding a pixel: do the data of every scan end where its last block does?
 * That is for a suspicion only. Takes about a tenth of the time that decoding does.
 */
final class JpegScan {
    /** Bytes behind a block that are no sign of damage: webcams leave some tens before their markers, and all is well. */
    static final int PADDING = 64;

    /** A symbol of 16 bits and the bits behind it, at most 16. */
    private static final int LONGEST = 32;

    /** The bits of a table's entry that say how many bits to step over; those above say how many coefficients. */
    private static final int STEP_BITS = 6;

    private static final short[] NO_CODES = new short[1 << 16];

    private static final int DC = 0;
    private static final int AC = 4;

    private final byte[] jpeg;
    private final ByteBuffer bytes;
    /** By class and identifier: for the next 16 bits the bits to step over, and the coefficients; 0 is no code. */
    private final short[][] tables = new short[8][];

    /** Rows of identifier, blocks across and blocks down of an MCU. */
    private int[][] components = {};

    private int width;
    private int height;
    private int interval;

    private int at = 2;
    // Of the bits that are read ahead, and how many of them are not there.
    private long window;
    private int held;
    private int missing;

    private JpegScan(byte[] jpeg) {
        this.jpeg = jpeg;
        bytes = ByteBuffer.wrap(jpeg);
        Arrays.fill(tables, new short[0]);
    }

    /**
     * Whether a decoder may have something to say against the JPEG: always where it is none of the sequential kind with
     * Huffman codes.
     *
     * @param jpeg that {@link ImageHeader} has read, with an end-of-image marker
     */
    static boolean isSuspect(byte[] jpeg) {
        try {
            return !new JpegScan(jpeg).isWhole();
        } catch (IndexOutOfBoundsException e) { // a segment shorter than it has to be
            return true;
        }
    }

    private boolean isWhole() {
        while (true) {
            int marker = nextMarker();
            if (marker == 0xd9) {
                return true;
            } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
                continue;
            }
            int content = at + 2;
            int end = at + unsigned(at);
            at = end;
            switch (marker) {
                case 0xc0, 0xc1 -> frame(content);
                case 0xc4 -> {
                    if (!huffman(content, end)) {
                        return false;
                    }
                }
                case 0xdd -> interval = unsigned(content);
                case 0xda -> {
                    if (!scan(content)) {
                        return false;
                    }
                }
                default -> {
                    if (marker >= 0xc2 && marker <= 0xcf) { // progressive, lossless, arithmetic
                        return false;
                    }
                }
            }
        }
    }

    /** Steps behind the next marker. */
    private int nextMarker() {
        while (jpeg[at] != (byte) 0xff || jpeg[at + 1] == 0 || jpeg[at + 1] == (byte) 0xff) {
            at++;
        }
        at += 2;
        return jpeg[at - 1] & 0xff;
    }

    private void frame(int content) {
        height = unsigned(content + 1);
        width = unsigned(content + 3);
        components = new int[jpeg[content + 5] & 0xff][];
        for (int i = 0; i < components.length; i++) {
            int sampling = jpeg[content + 7 + 3 * i];
            components[i] = new int[] {jpeg[content + 6 + 3 * i], sampling >> 4 & 15, sampling & 15};
        }
    }

    /** Reads the tables of a segment; false if one is none. */
    private boolean huffman(int from, int end) {
        int content = from;
        while (content < end) {
            int id = jpeg[content++];
            int codes = 0;
            short[] lengths = new short[16];
            for (int i = 0; i < 16; i++) {
                lengths[i] = (short) (jpeg[content++] & 0xff);
                codes += lengths[i];
            }
            short[] values = new short[codes];
            for (int i = 0; i < codes; i++) {
                values[i] = (short) (jpeg[content++] & 0xff);
            }
            if ((id & ~0x13) != 0 || !table((id >> 4) * AC + (id & 3), lengths, values)) {
                return false;
            }
        }
        return true;
    }

    private boolean table(int slot, short[] lengths, short[] values) {
        short[] table = new short[1 << 16];
        int from = 0;
        int value = 0;
        for (int length = 1; length <= 16; length++) {
            for (int i = 0; i < lengths[length - 1]; i++) {
                int symbol = values[value++];
                int extra = slot < AC ? symbol : symbol & 15;
                int run = symbol >> 4;
                int steps = slot < AC ? 1 : extra == 0 && run < 15 ? 64 : run + 1; // 64: no more in this block
                int to = from + (1 << (16 - length));
                if (to > table.length || extra > 16) {
                    return false;
                }
                Arrays.fill(table, from, to, (short) (steps << STEP_BITS | (length + extra)));
                from = to;
            }
        }
        tables[slot] = table;
        return true;
    }

    /** The table; that of the standard (ITU-T T.81, K.3) where a webcam leaves it out, and one without codes if there is none. */
    private short[] table(int slot) {
        if (tables[slot].length == 0 && (slot & 3) < 2) {
            JPEGHuffmanTable standard =
                    switch (slot) {
                        case DC -> JPEGHuffmanTable.StdDCLuminance;
                        case DC + 1 -> JPEGHuffmanTable.StdDCChrominance;
                        case AC -> JPEGHuffmanTable.StdACLuminance;
                        default -> JPEGHuffmanTable.StdACChrominance;
                    };
            table(slot, standard.getLengths(), standard.getValues());
        }
        return tables[slot].length == 0 ? NO_CODES : tables[slot];
    }

    /** Steps over the blocks of a scan. */
    private boolean scan(int content) {
        int count = jpeg[content];
        int mostAcross = 1;
        int mostDown = 1;
        for (int[] component : components) {
            mostAcross = Math.max(mostAcross, component[1]);
            mostDown = Math.max(mostDown, component[2]);
        }
        short[][] blocks = new short[2 * 10 * 4][]; // each with its two tables
        int tables = 0;
        long mcus = 0;
        for (int i = 0; i < count; i++) {
            int id = jpeg[content + 1 + 2 * i];
            int slots = jpeg[content + 2 + 2 * i];
            for (int[] component : components) {
                if (component[0] == id) {
                    int across = component[1];
                    int down = component[2];
                    if (count == 1) { // a scan of one component has only the blocks that show
                        mcus = (long) blocks(width * across, 8 * mostAcross) * blocks(height * down, 8 * mostDown);
                    } else {
                        mcus = (long) blocks(width, 8 * mostAcross) * blocks(height, 8 * mostDown);
                    }
                    for (int block = count == 1 ? 1 : across * down; block > 0; block--) {
                        blocks[tables++] = table(DC + (slots >> 4 & 3));
                        blocks[tables++] = table(AC + (slots & 3));
                    }
                }
            }
        }
        if (tables == 0) {
            return false;
        }
        blocks = Arrays.copyOf(blocks, tables);
        int restart = 0;
        while (mcus > 0) {
            long some = interval == 0 ? mcus : Math.min(interval, mcus);
            if (!step(blocks, some)) {
                return false;
            }
            mcus -= some;
            int behind = at - (held - missing) / 8;
            int marker = nextMarker();
            if (at - 2 - behind > PADDING || (mcus > 0 && marker != 0xd0 + restart++ % 8)) {
                return false;
            }
        }
        at -= 2; // the marker behind the scan
        return true;
    }

    private static int blocks(int samples, int size) {
        return (samples + size - 1) / size;
    }

    /** Steps over MCUs; false if the data have an end before, or a code that there is not. */
    private boolean step(short[][] blocks, long mcus) {
        window = 0;
        held = 0;
        missing = 0;
        for (long mcu = 0; mcu < mcus; mcu++) {
            for (int block = 0; block < blocks.length; block += 2) {
                short[] table = blocks[block];
                for (int coefficient = 0; coefficient < 64; table = blocks[block + 1]) {
                    if (held < LONGEST) {
                        fill();
                    }
                    int code = table[(int) (window >>> (held - 16)) & 0xffff];
                    if (code == 0) {
                        return false;
                    }
                    held -= code & ((1 << STEP_BITS) - 1);
                    coefficient += code >> STEP_BITS;
                }
            }
            if (held < missing) {
                return false;
            }
        }
        return true;
    }

    /** Reads ahead, up to the next marker; behind it there are zeros. */
    private void fill() {
        while (held <= Long.SIZE - 8) {
            int next = jpeg[at] & 0xff;
            if (next != 0xff) {
                at++;
            } else if (jpeg[at + 1] == 0) {
                at += 2;
            } else {
                next = 0;
                missing += 8;
            }
            window = window << 8 | next;
            held += 8;
        }
    }

    private int unsigned(int at) {
        return bytes.getShort(at) & 0xffff;
    }
}
