package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.Zstd;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class MaskCodecTest {
    @ParameterizedTest
    @EnumSource(names = "UNKNOWN", mode = EnumSource.Mode.EXCLUDE)
    void whatIsEncodedComesBack(MaskEncoding encoding) {
        Random random = new Random(1);
        for (int[] size : new int[][] {{1, 1}, {1, 300}, {300, 1}, {7, 5}, {448, 448}}) {
            int pixels = size[0] * size[1];
            byte[] noise = new byte[pixels];
            random.nextBytes(noise);
            byte[] uniform = new byte[pixels];
            Arrays.fill(uniform, (byte) 255);
            byte[] streets = new byte[pixels];
            for (int at = 0; at < pixels; ) {
                int end = Math.min(pixels, at + 1 + random.nextInt(200));
                Arrays.fill(streets, at, end, (byte) random.nextInt(19));
                at = end;
            }
            for (byte[] labels : new byte[][] {noise, uniform, streets}) {
                Mask mask = MaskCodec.encode(encoding, labels, size[0], size[1]);
                assertThat(mask.getEncoding()).isEqualTo(encoding);
                assertThat(new int[] {mask.getWidth(), mask.getHeight()}).isEqualTo(size);
                assertThat(MaskCodec.decode(mask)).isEqualTo(labels);
                assertThat(MaskCodec.decode(mask))
                        .as("decoding leaves the record as it was")
                        .isEqualTo(labels);
            }
        }
    }

    /** The example of docs/schemas.md. */
    @Test
    void runsCrossRowsAndAreLabelThenVarint() {
        byte[] labels = new byte[200];
        Arrays.fill(labels, 3, 198, (byte) 7);
        Arrays.fill(labels, 198, 200, (byte) 255);

        Mask mask = MaskCodec.encode(MaskEncoding.RLE, labels, 20, 10);

        assertThat(hex(mask)).isEqualTo("00 03 07 c3 01 ff 02");
    }

    @Test
    void aRunMayGoOnInTheNext() {
        assertThat(MaskCodec.decode(rle("05 01 05 82 00 06 01", 4, 1))).containsExactly(5, 5, 5, 6);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "05 03                | mask: runs of 3 pixels (expected: 4)",
                "05 05                | mask: a run of 5 pixels after 0 of 4 (expected: 1 to what is left)",
                "05 04 05 01          | mask: a run of 1 pixels after 4 of 4 (expected: 1 to what is left)",
                "05 00 05 04          | mask: a run of 0 pixels after 0 of 4 (expected: 1 to what is left)",
                "05 ff ff ff ff 7f    | mask: a run of 34359738367 pixels after 0 of 4 (expected: 1 to what is left)",
                "05                   | mask: a run without the end of its length (expected: a varint of at most 5 bytes)",
                "05 84                | mask: a run without the end of its length (expected: a varint of at most 5 bytes)",
                "05 84 80 80 80 80 00 | mask: a run without the end of its length (expected: a varint of at most 5 bytes)",
            })
    void refusesRunsThatAreNotTheMask(String data, String message) {
        assertThatThrownBy(() -> MaskCodec.decode(rle(data, 2, 2)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage(message);
    }

    @ParameterizedTest
    @CsvSource({"0, 5", "5, -1", "65536, 65536", "8193, 8192"})
    void refusesSizesBeforeItAllocates(int width, int height) {
        for (MaskEncoding encoding : MaskEncoding.values()) {
            assertThatThrownBy(() -> MaskCodec.decode(new Mask(encoding, width, height, ByteBuffer.allocate(0), null)))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessage("mask: %d x %d pixels (expected: at least 1 x 1, at most 67108864)", width, height);
        }
        assertThatThrownBy(() -> MaskCodec.encode(MaskEncoding.RLE, new byte[0], width, height))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /** Two kilobytes of zeros are honestly a mask of 16 million pixels: its reader says what it has memory for. */
    @Test
    void theLargestMaskIsTheCallers() {
        byte[] zeros = new byte[1 << 24];
        for (MaskEncoding encoding : List.of(MaskEncoding.RLE, MaskEncoding.RAW_ZSTD)) {
            Mask mask = MaskCodec.encode(encoding, zeros, 1 << 12, 1 << 12);
            assertThat(mask.getData().remaining()).isLessThan(2048);
            assertThat(MaskCodec.decode(mask, 1 << 24)).isEqualTo(zeros);
            assertThatThrownBy(() -> MaskCodec.decode(mask, (1 << 24) - 1))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessage("mask: 4096 x 4096 pixels (expected: at least 1 x 1, at most 16777215)");
        }
        assertThatThrownBy(() -> MaskCodec.decode(rle("01 01", 1 << 13, (1 << 13) + 1), Integer.MAX_VALUE))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("at most 67108864");
    }

    /** A zstd frame or a PNG that is of another size is found out before the mask's own size is allocated. */
    @Test
    void whatSaysAnotherSizeIsNotGivenTheMasks() {
        byte[] zstd = Zstd.compress(new byte[1 << 20]);
        Mask png = MaskCodec.encode(MaskEncoding.PNG, new byte[64], 8, 8);
        for (Mask mask : List.of(
                new Mask(MaskEncoding.RAW_ZSTD, 8, 8, ByteBuffer.wrap(zstd), null),
                new Mask(MaskEncoding.RAW_ZSTD, 1 << 13, 1 << 13, ByteBuffer.wrap(zstd), null),
                new Mask(MaskEncoding.PNG, 1 << 13, 1 << 13, png.getData(), null))) {
            long before = Allocated.bytes();
            assertThatThrownBy(() -> MaskCodec.decode(mask)).isInstanceOf(MalformedRecordException.class);
            assertThat(Allocated.bytes() - before).isLessThan(1 << 20);
        }
    }

    @Test
    void refusesAnEncodingOfANewerSchema() {
        assertThatThrownBy(() -> MaskCodec.decode(new Mask(MaskEncoding.UNKNOWN, 1, 1, ByteBuffer.allocate(1), null)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("mask encoding: one of a newer schema (expected: RLE, PNG or RAW_ZSTD)");
    }

    @Test
    void refusesZstdOfAnotherLength() {
        for (int length : new int[] {3, 5, 1 << 20}) {
            ByteBuffer data = ByteBuffer.wrap(Zstd.compress(new byte[length]));
            assertThatThrownBy(() -> MaskCodec.decode(new Mask(MaskEncoding.RAW_ZSTD, 2, 2, data, null)))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessageMatching("zstd: .+ \\(expected: (one frame of 4 bytes|4)\\)");
        }
    }

    @ParameterizedTest
    @EnumSource(names = "UNKNOWN", mode = EnumSource.Mode.EXCLUDE)
    void damagedBytesAreRefusedOrAMaskButNothingElse(MaskEncoding encoding) {
        Random random = new Random(2);
        byte[] labels = new byte[64 * 48];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) (i / 37 % 19);
        }
        byte[] whole = MaskCodec.encode(encoding, labels, 64, 48).getData().array();
        for (int i = 0; i < 2000; i++) {
            byte[] damaged = Arrays.copyOf(whole, random.nextInt(whole.length) + 1);
            damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
            try {
                assertThat(MaskCodec.decode(new Mask(encoding, 64, 48, ByteBuffer.wrap(damaged), null)))
                        .hasSize(labels.length);
            } catch (MalformedRecordException e) {
                assertThat(e).hasMessageMatching("(mask|zstd): .+");
            }
        }
    }

    @Test
    void itsPngIsReadByOthers() throws IOException {
        byte[] labels = gradients(61, 43);
        Mask mask = MaskCodec.encode(MaskEncoding.PNG, labels, 61, 43);

        BufferedImage image =
                ImageIO.read(new ByteArrayInputStream(mask.getData().array()));

        assertThat(image.getType()).isEqualTo(BufferedImage.TYPE_BYTE_GRAY);
        assertThat(((DataBufferByte) image.getRaster().getDataBuffer()).getData())
                .isEqualTo(labels);
    }

    @Test
    void readsThePngOfOthers() throws IOException {
        BufferedImage image = new BufferedImage(61, 43, BufferedImage.TYPE_BYTE_GRAY);
        image.getRaster().setDataElements(0, 0, 61, 43, gradients(61, 43));
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);

        assertThat(MaskCodec.decode(new Mask(MaskEncoding.PNG, 61, 43, ByteBuffer.wrap(png.toByteArray()), null)))
                .isEqualTo(gradients(61, 43));
    }

    /** Every filter type of the specification, and pixels that come in two IDAT chunks. */
    @Test
    void readsEveryRowFilter() {
        int width = 50;
        int height = 40;
        byte[] pixels = gradients(width, height);
        ByteArrayOutputStream rows = new ByteArrayOutputStream();
        for (int y = 0; y < height; y++) {
            int filter = y % 5;
            rows.write(filter);
            for (int x = 0; x < width; x++) {
                int left = x == 0 ? 0 : pixels[y * width + x - 1] & 0xFF;
                int above = y == 0 ? 0 : pixels[(y - 1) * width + x] & 0xFF;
                int corner = x == 0 || y == 0 ? 0 : pixels[(y - 1) * width + x - 1] & 0xFF;
                int predictor =
                        switch (filter) {
                            case 1 -> left;
                            case 2 -> above;
                            case 3 -> (left + above) / 2;
                            case 4 -> nearest(left + above - corner, left, above, corner);
                            default -> 0;
                        };
                rows.write(pixels[y * width + x] - predictor);
            }
        }
        Deflater deflater = new Deflater();
        deflater.setInput(rows.toByteArray());
        deflater.finish();
        byte[] deflated = new byte[2 * rows.size()];
        int length = deflater.deflate(deflated);
        deflater.end();

        ByteBuffer png = ByteBuffer.allocate(length + 100).putLong(0x89504E470D0A1A0AL);
        putChunk(
                png,
                "IHDR",
                ByteBuffer.allocate(13)
                        .putInt(width)
                        .putInt(height)
                        .put((byte) 8)
                        .array());
        putChunk(png, "tEXt", new byte[10]);
        putChunk(png, "IDAT", Arrays.copyOf(deflated, 20));
        putChunk(png, "IDAT", Arrays.copyOfRange(deflated, 20, length));
        putChunk(png, "IEND", new byte[0]);

        assertThat(MaskCodec.decode(new Mask(MaskEncoding.PNG, width, height, png.flip(), null)))
                .isEqualTo(pixels);
    }

    @Test
    void refusesAPngOfAnotherSizeOrKind() throws IOException {
        Mask mask = MaskCodec.encode(MaskEncoding.PNG, new byte[20], 5, 4);
        assertThatThrownBy(() -> MaskCodec.decode(new Mask(MaskEncoding.PNG, 4, 5, mask.getData(), null)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("mask: a PNG of another size (expected: 4 x 5)");

        ByteArrayOutputStream colours = new ByteArrayOutputStream();
        ImageIO.write(new BufferedImage(5, 4, BufferedImage.TYPE_INT_RGB), "png", colours);
        assertThatThrownBy(() -> MaskCodec.decode(
                        new Mask(MaskEncoding.PNG, 5, 4, ByteBuffer.wrap(colours.toByteArray()), null)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("mask: a PNG of another kind (expected: 8-bit greyscale, not interlaced)");
    }

    private static int nearest(int estimate, int left, int above, int corner) {
        int nearest = left;
        for (int candidate : new int[] {above, corner}) {
            if (Math.abs(estimate - candidate) < Math.abs(estimate - nearest)) {
                nearest = candidate;
            }
        }
        return nearest;
    }

    private static void putChunk(ByteBuffer png, String type, byte[] data) {
        CRC32 crc = new CRC32();
        byte[] name = type.getBytes(java.nio.charset.StandardCharsets.US_ASCII);
        crc.update(name);
        crc.update(data);
        png.putInt(data.length).put(name).put(data).putInt((int) crc.getValue());
    }

    private static byte[] gradients(int width, int height) {
        byte[] pixels = new byte[width * height];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (byte) ((i % width) * 5 + (i / width) * (i / width) + (i % 7 == 0 ? 90 : 0));
        }
        return pixels;
    }

    private static Mask rle(String data, int width, int height) {
        byte[] bytes = HexFormat.ofDelimiter(" ").parseHex(data);
        return new Mask(MaskEncoding.RLE, width, height, ByteBuffer.wrap(bytes), null);
    }

    private static String hex(Mask mask) {
        return HexFormat.ofDelimiter(" ").formatHex(mask.getData().array());
    }
}
