package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** All eight orientations of EXIF, however JPEG and PNG carry them. */
class OrientationTest {
    private static final int WIDTH = 64; // of exif-1.jpg and exif-6.png as they are stored
    private static final int HEIGHT = 48;
    private static final byte[] SIGNATURE = "Exif\0\0".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] JFIF = {
        (byte) 0xff, (byte) 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0
    };

    /** EXIF with an orientation: byte order, the place of its directory, and what stands before the entry there. */
    private enum Writing {
        BIG(ByteOrder.BIG_ENDIAN, 8, 0, false),
        LITTLE(ByteOrder.LITTLE_ENDIAN, 8, 0, false),
        ODD_PLACE(ByteOrder.LITTLE_ENDIAN, 27, 0, false),
        LATER_ENTRY(ByteOrder.BIG_ENDIAN, 9, 3, false),
        AS_LONG(ByteOrder.LITTLE_ENDIAN, 10, 1, true);

        private final ByteOrder order;
        private final int directory;
        private final int before;
        private final boolean asLong;

        Writing(ByteOrder order, int directory, int before, boolean asLong) {
            this.order = order;
            this.directory = directory;
            this.before = before;
            this.asLong = asLong;
        }

        byte[] exif(int orientation) {
            ByteBuffer tiff =
                    ByteBuffer.allocate(directory + 2 + 12 * (before + 1) + 4).order(order);
            byte mark = (byte) (order == ByteOrder.BIG_ENDIAN ? 'M' : 'I');
            tiff.put(mark).put(mark).putShort((short) 42).putInt(directory).position(directory);
            tiff.putShort((short) (before + 1));
            for (int i = 0; i < before; i++) {
                tiff.putShort((short) (0x0100 + i))
                        .putShort((short) 4)
                        .putInt(1)
                        .putInt(7);
            }
            tiff.putShort((short) 0x0112).putShort((short) (asLong ? 4 : 3)).putInt(1);
            if (asLong) {
                tiff.putInt(orientation);
            } else {
                tiff.putShort((short) orientation);
            }
            return tiff.array();
        }
    }

    static Stream<Arguments> writings() {
        return IntStream.rangeClosed(1, 8).boxed().flatMap(orientation -> Stream.of(Writing.values())
                .map(writing -> Arguments.of(orientation, writing)));
    }

    @ParameterizedTest
    @MethodSource("writings")
    void ofAJpeg(int orientation, Writing writing) throws Exception {
        byte[] bare = withoutSegments(TestBundles.image("exif-1.jpg"));
        byte[] exif = segment(concat(SIGNATURE, writing.exif(orientation)));
        byte[] other = segment("http://ns.adobe.com/xap/1.0/\0<x/>".getBytes(StandardCharsets.US_ASCII));

        byte[] stored = pixels(bare, WIDTH, HEIGHT);
        assertUpright(insert(bare, 2, exif), orientation, stored);
        assertUpright(insert(bare, 2, JFIF, exif), orientation, stored);
        assertUpright(insert(bare, 2, exif, JFIF), orientation, stored);
        assertUpright(insert(bare, 2, other, new byte[] {(byte) 0xff}, exif), orientation, stored);
    }

    @ParameterizedTest
    @MethodSource("writings")
    void ofAPng(int orientation, Writing writing) throws Exception {
        byte[] given = TestBundles.image("exif-6.png");
        int exif = indexOf(given, "eXIf") - 4;
        byte[] bare = cut(given, exif, 12 + ByteBuffer.wrap(given).getInt(exif));
        byte[] chunk = chunk(writing.exif(orientation));
        byte[] signed = chunk(concat(SIGNATURE, writing.exif(orientation)));

        byte[] stored = pixels(bare, WIDTH, HEIGHT);
        int first = indexOf(bare, "IDAT") - 4;
        int end = indexOf(bare, "IEND") - 4;
        assertUpright(insert(bare, first, chunk), orientation, stored);
        assertUpright(insert(bare, end, chunk), orientation, stored);
        assertUpright(insert(bare, first, signed), orientation, stored);
    }

    private static void assertUpright(byte[] image, int orientation, byte[] stored) throws FrameException {
        boolean sideways = orientation >= 5;
        int width = sideways ? HEIGHT : WIDTH;
        int height = sideways ? WIDTH : HEIGHT;
        byte[] expected = new byte[stored.length];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int across = WIDTH - 1;
                int down = HEIGHT - 1;
                int[] from =
                        switch (orientation) {
                            case 2 -> new int[] {across - x, y};
                            case 3 -> new int[] {across - x, down - y};
                            case 4 -> new int[] {x, down - y};
                            case 5 -> new int[] {y, x};
                            case 6 -> new int[] {y, down - x};
                            case 7 -> new int[] {across - y, down - x};
                            case 8 -> new int[] {across - y, x};
                            default -> new int[] {x, y};
                        };
                System.arraycopy(stored, 3 * (from[1] * WIDTH + from[0]), expected, 3 * (y * width + x), 3);
            }
        }
        assertThat(pixels(image, width, height)).isEqualTo(expected);
    }

    private static byte[] pixels(byte[] image, int width, int height) throws FrameException {
        DecodedFrame frame = new FrameDecoder(new InputSpec(width, height, Fit.STRETCH, 1), 10_000).decode(image);
        byte[] pixels = new byte[frame.rgb().capacity()];
        frame.rgb().get(0, pixels);
        return pixels;
    }

    /** The JPEG without APPn. */
    private static byte[] withoutSegments(byte[] jpeg) {
        byte[] bare = jpeg;
        while ((bare[3] & 0xf0) == 0xe0) {
            bare = cut(bare, 2, 2 + (ByteBuffer.wrap(bare).getShort(4) & 0xffff));
        }
        return bare;
    }

    private static byte[] segment(byte[] content) {
        return ByteBuffer.allocate(content.length + 4)
                .putShort((short) 0xffe1)
                .putShort((short) (content.length + 2))
                .put(content)
                .array();
    }

    private static byte[] chunk(byte[] content) {
        ByteBuffer chunk = ByteBuffer.allocate(content.length + 12)
                .putInt(content.length)
                .put("eXIf".getBytes(StandardCharsets.US_ASCII))
                .put(content);
        CRC32 checksum = new CRC32();
        checksum.update(chunk.array(), 4, content.length + 4);
        return chunk.putInt((int) checksum.getValue()).array();
    }

    private static int indexOf(byte[] bytes, String type) {
        return new String(bytes, StandardCharsets.ISO_8859_1).indexOf(type);
    }

    private static byte[] cut(byte[] bytes, int at, int length) {
        return concat(Arrays.copyOf(bytes, at), Arrays.copyOfRange(bytes, at + length, bytes.length));
    }

    private static byte[] insert(byte[] bytes, int at, byte[]... parts) {
        return concat(Arrays.copyOf(bytes, at), concat(parts), Arrays.copyOfRange(bytes, at, bytes.length));
    }

    private static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }
}
