package io.upliftstream.model;

import java.nio.ByteBuffer;
import java.util.Arrays;
import javax.imageio.plugins.jpeg.JPEGHuffmanTable;
import org.jspecify.annotations.Nullable;

/**
 * Steps over the Huffman codes of a JPEG without decoding a pixel: do the data of every scan end where its last block does?
 * That is for a suspicion only, and takes about a third of the time that OpenCV takes for the pixels.
 */
final class JpegScan {
    /** Bytes behind a block that are no sign of damage: webcams leave some tens before their markers, and all is well. */
    static final int PADDING = 64;

    /** A symbol of 16 bits and the bits behind it, at most 16. */
    private static final int LONGEST = 32;

    /** The bits of a table's entry that say how many bits to step over; those above say how many coefficients. */
    private static final int STEP_BITS = 6;

    private static final int BITS = (1 << STEP_BITS) - 1;

    /** The bits that the table is asked first, which stays in the processor's nearest cache. */
    private static final int QUICK_BITS = 12;

    /** Coefficients that all but the last of several symbols in one entry may have; so many before a block's end, none has. */
    private static final int QUICK_STEPS = 15;

    private static final int DC = 0;
    private static final int AC = 4;

    private final byte[] jpeg;
    private final ByteBuffer bytes;

    /** By class and identifier: the codes' lengths and values as a segment has them, and the table that a scan asks for. */
    private final short[] @Nullable [] lengths = new short[8][];

    private final short[] @Nullable [] values = new short[8][];
    private final @Nullable Table[] tables = new Table[8];

    /** Rows of identifier, blocks across and blocks down of an MCU. */
    private int[][] components = {};

    private int width;
    private int height;
    private int interval;

    private int at = 2;
    /** Bits that were read ahead and are not there. */
    private int missing;
    /** Where the data end that were stepped over. */
    private int behind;

    /**
     * How far to step: bits and coefficients. 0 is no code.
     *
     * @param symbol by the next 16 bits: the symbol's code and the bits behind it
     * @param symbols by the next {@link #QUICK_BITS}: the same of all symbols that lie in these, 0 if none does
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Table(short[] symbol, short[] symbols) {
        static final Table EMPTY = new Table(new short[1 << 16], new short[1 << QUICK_BITS]);
    }

    private JpegScan(byte[] jpeg) {
        this.jpeg = jpeg;
        bytes = ByteBuffer.wrap(jpeg);
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
                case 0xc4 -> huffman(content, end);
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

    /** Notes the tables of a segment. A file has room for a million, so that only those are made that a scan asks for. */
    private void huffman(int from, int end) {
        int content = from;
        while (content < end) {
            int id = jpeg[content++];
            int slot = (id >> 4 & 1) * AC + (id & 3);
            short[] own = unsigned(content, 16);
            int codes = 0;
            for (short length : own) {
                codes += length;
            }
            lengths[slot] = own;
            values[slot] = unsigned(content + 16, codes);
            tables[slot] = null;
            content += 16 + codes;
        }
    }

    private short[] unsigned(int from, int count) {
        short[] numbers = new short[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = (short) (jpeg[from + i] & 0xff);
        }
        return numbers;
    }

    /** The table of these codes; one without any if they are none. */
    private static Table table(int slot, short[] lengths, short[] values) {
        short[] symbol = new short[1 << 16];
        short[] symbols = new short[1 << QUICK_BITS];
        int from = 0;
        int value = 0;
        for (int length = 1; length <= 16; length++) {
            for (int i = 0; i < lengths[length - 1]; i++) {
                int coded = values[value++];
                int extra = slot < AC ? coded : coded & 15;
                int run = coded >> 4;
                int steps = slot < AC ? 1 : extra == 0 && run < 15 ? 64 : run + 1; // 64: no more in this block
                int to = from + (1 << (16 - length));
                if (to > symbol.length || extra > 16) {
                    return Table.EMPTY;
                }
                short step = (short) (steps << STEP_BITS | (length + extra));
                Arrays.fill(symbol, from, to, step);
                if (length <= QUICK_BITS) {
                    Arrays.fill(symbols, from >> (16 - QUICK_BITS), to >> (16 - QUICK_BITS), step);
                }
                from = to;
            }
        }
        return new Table(symbol, slot < AC ? symbols : several(symbols));
    }

    /** Joins the symbols that lie in the bits of one entry; the end of a block is the last. */
    private static short[] several(short[] symbols) {
        short[] several = symbols.clone();
        for (int i = 0; i < several.length; i++) {
            int bits = several[i] & BITS;
            int steps = several[i] >> STEP_BITS;
            while (bits < QUICK_BITS && steps <= QUICK_STEPS) {
                short next = symbols[i << bits & (several.length - 1)];
                if (next == 0 || bits + (next & BITS) > QUICK_BITS) {
                    break;
                }
                bits += next & BITS;
                steps += next >> STEP_BITS;
            }
            several[i] = bits == 0 ? 0 : (short) (steps << STEP_BITS | bits);
        }
        return several;
    }

    /** The table; that of the standard (ITU-T T.81, K.3) where a webcam leaves it out, and one without codes if there is none. */
    private Table table(int slot) {
        Table table = tables[slot];
        if (table == null) {
            short[] ownLengths = lengths[slot];
            short[] ownValues = values[slot];
            JPEGHuffmanTable standard =
                    switch (slot) {
                        case DC -> JPEGHuffmanTable.StdDCLuminance;
                        case DC + 1 -> JPEGHuffmanTable.StdDCChrominance;
                        case AC -> JPEGHuffmanTable.StdACLuminance;
                        case AC + 1 -> JPEGHuffmanTable.StdACChrominance;
                        default -> null;
                    };
            if (ownLengths != null && ownValues != null) {
                table = table(slot, ownLengths, ownValues);
            } else {
                table = standard == null ? Table.EMPTY : table(slot, standard.getLengths(), standard.getValues());
            }
            tables[slot] = table;
        }
        return table;
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
        Table[] blocks = new Table[2 * 10 * 4]; // each with its two tables
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
    private boolean step(Table[] blocks, long mcus) {
        long window = 0; // bits that are read ahead; locals, since this is where the time goes
        int held = 0;
        missing = 0;
        for (long mcu = 0; mcu < mcus; mcu++) {
            for (int block = 0; block < blocks.length; block += 2) {
                Table table = blocks[block];
                for (int coefficient = 0; coefficient < 64; table = blocks[block + 1]) {
                    if (held < LONGEST) {
                        int four = at + 4 <= jpeg.length ? bytes.getInt(at) : -1;
                        if (((~four - 0x01010101) & four & 0x80808080) == 0) { // no byte of them is FF
                            window = window << 32 | (four & 0xffffffffL);
                            at += 4;
                        } else {
                            for (int i = 0; i < 4; i++) {
                                window = window << 8 | next();
                            }
                        }
                        held += 32;
                    }
                    int step = coefficient < 64 - QUICK_STEPS
                            ? table.symbols[(int) (window >>> (held - QUICK_BITS)) & ((1 << QUICK_BITS) - 1)]
                            : 0;
                    if (step == 0) {
                        step = table.symbol[(int) (window >>> (held - 16)) & 0xffff];
                        if (step == 0) {
                            return false;
                        }
                    }
                    held -= step & BITS;
                    coefficient += step >> STEP_BITS;
                }
            }
            if (held < missing) {
                return false;
            }
        }
        behind = at - (held - missing) / 8;
        return true;
    }

    /** The next byte of the data; up to a marker, behind which there are zeros. */
    private int next() {
        int next = jpeg[at] & 0xff;
        if (next != 0xff) {
            at++;
        } else if (jpeg[at + 1] == 0) {
            at += 2;
        } else {
            next = 0;
            missing += 8;
        }
        return next;
    }

    private int unsigned(int at) {
        return bytes.getShort(at) & 0xffff;
    }
}
