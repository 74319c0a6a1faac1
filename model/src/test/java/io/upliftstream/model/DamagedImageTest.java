package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.upliftstream.model.FrameException.Reason;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.zip.CRC32;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is damaged is a failure in the decoder's words, and what is whole a result, with libturbojpeg and without. */
class DamagedImageTest {
    private static final byte[] END = {(byte) 0xff, (byte) 0xd9};
    private static final int WIDTH = 200;
    private static final int HEIGHT = 120;
    private static final String CUT = "premature end of data segment";

    private final FrameDecoder decoder = new FrameDecoder(new InputSpec(40, 24, Fit.STRETCH, 1), 1_000_000);

    private enum Kind {
        BASELINE,
        PROGRESSIVE,
        RESTARTS,
        GREY;

        byte[] jpeg() {
            byte[] pixels = new byte[WIDTH * HEIGHT * 3];
            new Random(5).nextBytes(pixels);
            int[] options =
                    switch (this) {
                        case PROGRESSIVE -> new int[] {opencv_imgcodecs.IMWRITE_JPEG_PROGRESSIVE, 1};
                        case RESTARTS -> new int[] {opencv_imgcodecs.IMWRITE_JPEG_RST_INTERVAL, 5};
                        default -> new int[] {opencv_imgcodecs.IMWRITE_JPEG_QUALITY, 80};
                    };
            int type = this == GREY ? opencv_core.CV_8UC1 : opencv_core.CV_8UC3;
            try (Mat image = new Mat(HEIGHT, WIDTH, type, new BytePointer(pixels));
                    BytePointer jpeg = new BytePointer();
                    IntPointer chosen = new IntPointer(options)) {
                opencv_imgcodecs.imencode(".jpg", image, jpeg, chosen);
                byte[] bytes = new byte[(int) jpeg.limit()];
                jpeg.get(bytes);
                return bytes;
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void aCutJpegIsAFailureAlsoWithAnEndMarker(Kind kind) throws Exception {
        byte[] whole = kind.jpeg();
        assertThat(decoder.decode(whole).rgb().remaining()).isEqualTo(40 * 24 * 3);
        assertThat(JpegDamage.of(whole, ImageHeader.read(whole, 1_000_000))).isNull();
        for (int percent : new int[] {50, 90, 99}) {
            byte[] cut = Arrays.copyOf(whole, whole.length * percent / 100);
            assertDamaged(concat(cut, END), CUT);
            assertThatExceptionOfType(FrameException.class)
                    .isThrownBy(() -> decoder.decode(cut))
                    .satisfies(e -> assertThat(e.reason()).isEqualTo(Reason.CORRUPT_IMAGE));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void aWholeJpegWithoutAnEndMarkerIsAResult(Kind kind) throws Exception {
        byte[] whole = kind.jpeg();
        byte[] open = Arrays.copyOf(whole, whole.length - 2);
        assertThat(decoder.decode(open).rgb().duplicate())
                .isEqualTo(decoder.decode(whole).rgb());
        assertThat(decoder.decode(Arrays.copyOf(whole, whole.length - 1)).rgb().remaining())
                .isEqualTo(40 * 24 * 3);
        assertThat(decoder.decode(concat(open, new byte[] {(byte) 0xff, (byte) 0xff}, END, new byte[100]))
                        .rgb()
                        .remaining())
                .isEqualTo(40 * 24 * 3);
    }

    /** Webcams leave some bytes before their markers, and their pixels are whole. */
    @Test
    void someBytesBeforeAMarkerAreNoDamage() throws Exception {
        byte[] whole = Kind.RESTARTS.jpeg();
        byte[] open = Arrays.copyOf(whole, whole.length - 2);
        assertThat(decoder.decode(concat(open, new byte[JpegScan.PADDING], END))
                        .rgb()
                        .remaining())
                .isEqualTo(40 * 24 * 3);
        int restart = indexOf(whole, 0xd1);
        byte[] padded = concat(
                Arrays.copyOf(whole, restart), new byte[] {1, 2, 3}, Arrays.copyOfRange(whole, restart, whole.length));
        assertThat(decoder.decode(padded).rgb().remaining()).isEqualTo(40 * 24 * 3);
        assertDamaged(concat(open, new byte[2 * JpegScan.PADDING], END), "extraneous bytes before marker 0xd9");
    }

    @Test
    void bytesThatGotLostAreDamage() throws Exception {
        byte[] baseline = Kind.BASELINE.jpeg();
        byte[] lost = concat(
                Arrays.copyOf(baseline, baseline.length / 2),
                Arrays.copyOfRange(baseline, baseline.length / 2 + 1000, baseline.length));
        assertDamaged(lost, "Corrupt JPEG data");
        byte[] restarts = Kind.RESTARTS.jpeg();
        lost = concat(
                Arrays.copyOf(restarts, indexOf(restarts, 0xd1)),
                Arrays.copyOfRange(restarts, indexOf(restarts, 0xd2), restarts.length));
        assertDamaged(lost, "found marker 0xd2 instead of RST1");
        byte[] progressive = Kind.PROGRESSIVE.jpeg();
        Arrays.fill(progressive, progressive.length / 2, progressive.length / 2 + 300, (byte) 0);
        assertDamaged(progressive, "Corrupt JPEG data");
    }

    /** Sixteen megabytes of tables, of which no scan asks for any. */
    @Test
    @Timeout(10)
    void tablesThatNothingUsesTakeNoTime() throws Exception {
        byte[] baseline = Kind.BASELINE.jpeg();
        byte[] segment = new byte[2 + 65_535];
        segment[0] = (byte) 0xff;
        segment[1] = (byte) 0xc4;
        int tables = (segment.length - 4) / 17; // each an identifier, and no code of any length
        int length = 2 + 17 * tables;
        segment[2] = (byte) (length >> 8);
        segment[3] = (byte) length;
        for (int i = 0; i < tables; i++) {
            segment[4 + 17 * i] = 0x03;
        }
        byte[] own = Arrays.copyOf(segment, 2 + length);
        byte[][] parts = new byte[258][];
        Arrays.fill(parts, own);
        parts[0] = Arrays.copyOf(baseline, 2);
        parts[257] = Arrays.copyOfRange(baseline, 2, baseline.length);
        assertThat(JpegScan.isSuspect(concat(parts))).isFalse();
    }

    /** A webcam's JPEG has the standard's tables, and does not say so. */
    @Test
    void aJpegWithoutHuffmanTablesIsLookedAtAsWell() throws Exception {
        byte[] jpeg = Kind.BASELINE.jpeg();
        while (indexOf(jpeg, 0xc4) >= 0) {
            int tables = indexOf(jpeg, 0xc4);
            int behind = tables + 2 + ByteBuffer.wrap(jpeg).getShort(tables + 2);
            jpeg = concat(Arrays.copyOf(jpeg, tables), Arrays.copyOfRange(jpeg, behind, jpeg.length));
        }
        assertThat(JpegScan.isSuspect(jpeg)).isFalse();
        assertThat(decoder.decode(jpeg).rgb().remaining()).isEqualTo(40 * 24 * 3);
        assertDamaged(concat(Arrays.copyOf(jpeg, jpeg.length / 2), END), CUT);
    }

    @ParameterizedTest
    @CsvSource({
        "Corrupt JPEG data: premature end of data segment, true",
        "Corrupt JPEG data: bad Huffman code, true",
        "Corrupt JPEG data: found marker 0xd3 instead of RST2, true",
        "Corrupt JPEG data: 64 extraneous bytes before marker 0xd9, false",
        "Corrupt JPEG data: 65 extraneous bytes before marker 0xd9, true",
        "Corrupt JPEG data: 65 extraneous bytes before marker 0xd1, true",
        "Corrupt JPEG data: 608 extraneous bytes before marker 0xfe, false",
        "Corrupt JPEG data: 4294967295 extraneous bytes before marker 0xd9, true",
        "Inconsistent progression sequence for component 0 coefficient 1, true",
        "Corrupt JPEG data: bad ICC marker, false",
        "Warning: unknown JFIF revision number 2.01, false",
    })
    void lostPixelsAreToldFromOddities(String warning, boolean loss) {
        assertThat(JpegDamage.isLoss(warning)).isEqualTo(loss);
    }

    /** The JDK's decoder makes pixels after every scan. */
    @Test
    void aProgressiveJpegThatWouldTakeTheJdkLongIsNotLookedAt() throws Exception {
        byte[] jpeg = Kind.PROGRESSIVE.jpeg();
        byte[] cut = concat(Arrays.copyOf(jpeg, jpeg.length * 9 / 10), END);
        ByteBuffer.wrap(cut).putShort(indexOf(cut, 0xc2) + 5, (short) 6_000).putShort(indexOf(cut, 0xc2) + 7, (short)
                8_000);
        assertThat(JpegDamage.of(cut, ImageHeader.read(cut, 50_000_000))).isNull();
    }

    @Test
    void theSystemsDecoderSaysItself() throws Exception {
        assumeThat(TurboJpeg.isInstalled()).isTrue();
        byte[] whole = Kind.BASELINE.jpeg();
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(
                        () -> TurboJpeg.decode(concat(Arrays.copyOf(whole, whole.length / 2), END), WIDTH, HEIGHT, 1))
                .withMessageContaining(CUT);
    }

    /** Whether libturbojpeg is there or not, the JDK's decoder comes to the same. */
    private void assertDamaged(byte[] image, String words) throws FrameException {
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> decoder.decode(image))
                .satisfies(e -> assertThat(e.reason()).isEqualTo(Reason.CORRUPT_IMAGE))
                .withMessageContaining(words);
        ImageHeader header = ImageHeader.read(image, 1_000_000);
        assertThat(JpegDamage.of(header.decodable(image), header)).contains(words);
    }

    @ParameterizedTest
    @ValueSource(bytes = {12, 16})
    void aJpegOfMoreBitsIsNamed(byte bits) {
        byte[] jpeg = Kind.BASELINE.jpeg();
        jpeg[indexOf(jpeg, 0xc0) + 4] = bits;
        assertUnsupported(jpeg, "the JPEG has %d bits a sample (expected: 8".formatted(bits));
    }

    @ParameterizedTest
    @CsvSource({"0xc5, a hierarchy of frames", "0xcb, lossless arithmetic coding", "0xf7, JPEG-LS"})
    void aJpegOfAnotherKindIsNamed(String marker, String words) {
        byte[] jpeg = Kind.BASELINE.jpeg();
        jpeg[indexOf(jpeg, 0xc0) + 1] = (byte) (int) Integer.decode(marker);
        assertUnsupported(jpeg, words);
    }

    private void assertUnsupported(byte[] image, String words) {
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> decoder.decode(image))
                .satisfies(e -> assertThat(e.reason()).isEqualTo(Reason.UNSUPPORTED_IMAGE))
                .withMessageContaining(words);
    }

    @Test
    void aDamagedPngIsAFailure() throws Exception {
        byte[] png = TestBundles.image("noise.png");
        int data = indexOf(png, new byte[] {'I', 'D', 'A', 'T'});
        int length = ByteBuffer.wrap(png).getInt(data - 4);
        png[data + 100] ^= 1;
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> decoder.decode(png))
                .satisfies(e -> assertThat(e.reason()).isEqualTo(Reason.CORRUPT_IMAGE))
                .withMessageContaining("the checksum of an IDAT chunk is not that of its content");

        byte[] whole = TestBundles.image("noise.png");
        for (int kept : new int[] {length / 2, length - 6, length - 1}) { // cut, and closed again
            ByteBuffer cut = ByteBuffer.allocate(whole.length - length + kept);
            cut.put(whole, 0, data - 4).putInt(kept).put(whole, data, 4 + kept);
            CRC32 checksum = new CRC32();
            checksum.update(whole, data, 4 + kept);
            cut.putInt((int) checksum.getValue()).put(whole, data + 4 + length + 4, whole.length - data - length - 8);
            assertThatExceptionOfType(FrameException.class)
                    .isThrownBy(() -> decoder.decode(cut.array()))
                    .satisfies(e -> assertThat(e.reason()).isEqualTo(Reason.CORRUPT_IMAGE))
                    .withMessageContaining("the pixels end early");
        }
        ByteBuffer other = ByteBuffer.wrap(whole.clone());
        other.put(data + 4 + length - 1, (byte) (whole[data + 4 + length - 1] ^ 1)); // of the pixels' own checksum
        CRC32 checksum = new CRC32();
        checksum.update(other.array(), data, 4 + length);
        other.putInt(data + 4 + length, (int) checksum.getValue());
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> decoder.decode(other.array()))
                .withMessageContaining("incorrect data check");
    }

    /** Predictor 1, components R, G and B, and every difference 0: all pixels are 128. */
    @Test
    void aLosslessJpegHasNoSmallerSizesAndIsReadAllTheSame() throws Exception {
        byte[] header = HexFormat.of()
                .parseHex("ffd8" + "ffc3001108" + "00500080" + "03521100471100421100" // 80 rows of 128
                        + "ffc40014" + "0001" + "00".repeat(16) // category 0 has the code 0
                        + "ffda000c03520047004200010000");
        byte[] lossless = concat(header, new byte[80 * 128 * 3 / 8], END);
        DecodedFrame frame = new FrameDecoder(new InputSpec(16, 10, Fit.STRETCH, 1), 1_000_000).decode(lossless);
        for (int i = 0; i < frame.rgb().capacity(); i++) {
            assertThat(frame.rgb().get(i)).isEqualTo((byte) 128);
        }
    }

    /** Where a marker is, outside of what {@code FF 00} hides. */
    private static int indexOf(byte[] jpeg, int marker) {
        return indexOf(jpeg, new byte[] {(byte) 0xff, (byte) marker});
    }

    private static int indexOf(byte[] bytes, byte[] part) {
        for (int at = 0; at <= bytes.length - part.length; at++) {
            if (Arrays.equals(bytes, at, at + part.length, part, 0, part.length)) {
                return at;
            }
        }
        return -1;
    }

    private static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }
}
