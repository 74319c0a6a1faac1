package io.upliftstream.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.sun.jna.Memory;
import io.upliftstream.model.FrameException.Reason;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import javax.imageio.ImageIO;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The images and what Pillow makes of them come from {@code src/test/python/make_test_resources.py}. */
class FrameDecoderTest {
    private static final InputSpec INPUT = new InputSpec(40, 24, Fit.STRETCH, 1);
    private final FrameDecoder decoder = new FrameDecoder(INPUT, FrameDecoder.DEFAULT_MAX_PIXELS);

    @ParameterizedTest
    @CsvSource({
        "noise.png, 1",
        "small.png, 1",
        "grey.png, 1",
        "palette.png, 1",
        "alpha.png, 1",
        "grey16.png, 1",
        "plain.jpg, 2",
        "progressive.jpg, 2",
        "grey.jpg, 2",
        "cmyk.jpg, 2",
        "exif-6.png, 1",
        "exif-1.jpg, 2",
        "exif-2.jpg, 2",
        "exif-3.jpg, 2",
        "exif-4.jpg, 2",
        "exif-5.jpg, 2",
        "exif-6.jpg, 2",
        "exif-7.jpg, 2",
        "exif-8.jpg, 2",
    })
    void givesThePixelsThatPillowGives(String name, int tolerance) throws Exception {
        assertThat(largestDifference(name)).isLessThanOrEqualTo(tolerance);
    }

    @Test
    void aReducedJpegIsCloseToTheWholeOne() throws Exception {
        assertThat(largestDifference("large.jpg")).isLessThanOrEqualTo(3);
    }

    @Test
    void aJpegOfTwiceTheModelsInputIsNoSharperThanItsPng() throws Exception {
        BufferedImage noise = new BufferedImage(80, 48, BufferedImage.TYPE_BYTE_GRAY);
        new Random(1).nextBytes(((DataBufferByte) noise.getRaster().getDataBuffer()).getData());
        byte[] jpeg = encode(noise, "jpeg");
        byte[] found = bytes(decoder.decode(jpeg));
        byte[] expected = bytes(decoder.decode(encode(ImageIO.read(new ByteArrayInputStream(jpeg)), "png")));
        double squares = 0;
        for (int i = 0; i < found.length; i++) {
            squares += Math.pow((found[i] & 0xff) - (expected[i] & 0xff), 2);
        }
        assertThat(Math.sqrt(squares / found.length)).isLessThan(1);
    }

    private static byte[] encode(BufferedImage image, String format) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ImageIO.write(image, format, bytes);
        return bytes.toByteArray();
    }

    private int largestDifference(String name) throws IOException, FrameException {
        byte[] found = bytes(decoder.decode(TestBundles.image(name)));
        byte[] expected = TestBundles.image(name + ".rgb");
        assertThat(found).hasSameSizeAs(expected);
        int largest = 0;
        for (int i = 0; i < found.length; i++) {
            largest = Math.max(largest, Math.abs((found[i] & 0xff) - (expected[i] & 0xff)));
        }
        return largest;
    }

    /** Only where libturbojpeg is installed (another place: {@code -Djna.library.path}). */
    @ParameterizedTest
    @CsvSource({"plain.jpg, 1", "progressive.jpg, 1", "grey.jpg, 1", "large.jpg, 2", "large.jpg, 4", "large.jpg, 8"})
    void theSystemsDecoderGivesThePixelsOfOpenCv(String name, int reduction) throws Exception {
        assumeThat(TurboJpeg.isInstalled()).isTrue();
        byte[] jpeg = TestBundles.image(name);
        int flags = reduction == 1 ? 0 : 8 * reduction; // OpenCV 4.13 refuses IMREAD_COLOR beside IMREAD_COLOR_RGB
        try (BytePointer bytes = new BytePointer(jpeg);
                Mat encoded = new Mat(1, jpeg.length, opencv_core.CV_8UC1, bytes);
                Mat expected = opencv_imgcodecs.imdecode(
                        encoded,
                        flags | opencv_imgcodecs.IMREAD_COLOR_RGB | opencv_imgcodecs.IMREAD_IGNORE_ORIENTATION);
                Mat whole = opencv_imgcodecs.imdecode(
                        encoded, opencv_imgcodecs.IMREAD_COLOR | opencv_imgcodecs.IMREAD_IGNORE_ORIENTATION);
                Memory found = TurboJpeg.decode(jpeg, whole.cols(), whole.rows(), reduction)) {
            byte[] pixels = new byte[3 * expected.cols() * expected.rows()];
            expected.data().get(pixels);
            assertThat(requireNonNull(found).getByteArray(0, pixels.length)).isEqualTo(pixels);
        }
    }

    @Test
    void aSystemWithoutTheLibraryIsNoError() {
        assertThat(TurboJpeg.load("turbojpeg-that-nobody-installed")).isNull();
    }

    @Test
    void theSystemsDecoderLeavesWhatIsUnusualToOpenCv() throws Exception {
        byte[] jpeg = TestBundles.image("plain.jpg");
        assertThat(TurboJpeg.decode(jpeg, 1, 1, 1))
                .as("another size than the header's")
                .isNull();
        assertThat(TurboJpeg.decode(Arrays.copyOf(jpeg, 40), 64, 48, 1))
                .as("no image")
                .isNull();
    }

    @Test
    void saysWhereTheInputLiesOnTheFrame() throws Exception {
        FrameTransform upright = decoder.decode(TestBundles.image("exif-1.jpg")).transform();
        assertThat(upright).isEqualTo(new FrameTransform(64, 48, 64 / 40.0, 48 / 24.0, 0.0, 0.0));
        FrameTransform turned = decoder.decode(TestBundles.image("exif-6.jpg")).transform();
        assertThat(turned).isEqualTo(new FrameTransform(48, 64, 48 / 40.0, 64 / 24.0, 0.0, 0.0));
    }

    @Test
    void aLetterboxKeepsTheAspectRatioAndPads() throws Exception {
        FrameDecoder letterbox = new FrameDecoder(new InputSpec(40, 24, Fit.LETTERBOX, 1), 1_000_000);
        DecodedFrame frame = letterbox.decode(TestBundles.image("exif-1.jpg")); // 64 x 48 becomes 32 x 24
        FrameTransform transform = frame.transform();
        assertThat(transform).isEqualTo(new FrameTransform(64, 48, 2, 2, -8, 0.0));
        assertThat(4 * transform.scaleX() + transform.offsetX()).isZero();
        assertThat(36 * transform.scaleX() + transform.offsetX()).isCloseTo(64, within(1e-9));
        byte[] rgb = bytes(frame);
        for (int y = 0; y < 24; y++) {
            assertThat(Arrays.copyOfRange(rgb, y * 120, y * 120 + 12)).containsOnly((byte) 114);
            assertThat(Arrays.copyOfRange(rgb, y * 120 + 108, y * 120 + 120)).containsOnly((byte) 114);
        }
        // An earlier frame in the same buffer must not shine through the padding.
        frame.rgb().put(0, new byte[rgb.length]);
        letterbox.recycle(frame);
        DecodedFrame again = letterbox.decode(TestBundles.image("exif-1.jpg"));
        assertThat(again.rgb()).isSameAs(frame.rgb());
        assertThat(bytes(again)).isEqualTo(rgb);
    }

    @Test
    void anImageAlreadyOfTheRightSizeIsNotTouched() throws Exception {
        byte[] png = TestBundles.image("noise.png");
        byte[] same = bytes(new FrameDecoder(new InputSpec(97, 61, Fit.STRETCH, 1), 10_000).decode(png));
        byte[] letterboxed = bytes(new FrameDecoder(new InputSpec(97, 61, Fit.LETTERBOX, 1), 10_000).decode(png));
        assertThat(same).isEqualTo(letterboxed);
        assertThat(largestDifference("noise.png")).isLessThanOrEqualTo(1);
    }

    /** The toolkit takes the same (its tests say so), so that a model sees what it was trained on. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void ofSixteenBitsTheUpperEightCount(int channels) throws Exception {
        int width = 64;
        int height = 40;
        byte[] numbers = new byte[2 * width * height * channels];
        new Random(6).nextBytes(numbers);
        try (Mat image = new Mat(height, width, opencv_core.CV_MAKETYPE(opencv_core.CV_16U, channels));
                BytePointer png = new BytePointer()) {
            image.data().put(numbers);
            opencv_imgcodecs.imencode(".png", image, png);
            byte[] bytes = new byte[(int) png.limit()];
            png.get(bytes);
            byte[] found = bytes(new FrameDecoder(new InputSpec(width, height, Fit.STRETCH, 1), 10_000).decode(bytes));
            for (int i = 0; i < found.length; i++) {
                int number = channels == 1 ? i / 3 : i - i % 3 + 2 - i % 3; // OpenCV's order is BGR
                assertThat(found[i]).isEqualTo(numbers[2 * number + 1]); // little-endian
            }
        }
    }

    @Test
    void refusesWhatIsNoImage() throws Exception {
        byte[] random = new byte[5000];
        new Random(3).nextBytes(random);
        assertRefused(new byte[0], Reason.EMPTY, "no bytes");
        assertRefused(random, Reason.NOT_AN_IMAGE, "5000 bytes of no known kind (expected: a JPEG or PNG)");
        assertRefused(new byte[1], Reason.NOT_AN_IMAGE, "1 bytes of no known kind");
        assertRefused(
                TestBundles.image("other.gif"),
                Reason.NOT_AN_IMAGE,
                "look like a GIF image: send it as JPEG or PNG (expected: a JPEG or PNG)");
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain.jpg", "progressive.jpg", "noise.png"})
    void refusesATruncatedImageWhereverItEnds(String name) throws Exception {
        byte[] whole = TestBundles.image(name);
        for (int length = 20; length < whole.length - 12; length += whole.length / 40) {
            assertRefused(Arrays.copyOf(whole, length), Reason.CORRUPT_IMAGE, "");
        }
    }

    @Test
    void refusesDamagedPixels() throws Exception {
        byte[] png = TestBundles.image("noise.png");
        Arrays.fill(png, png.length / 2, png.length / 2 + 200, (byte) 0);
        assertRefused(png, Reason.CORRUPT_IMAGE, "");
    }

    /** The claim alone must be enough: an image of 30,000 x 30,000 pixels would take 2.7 GB. */
    @Test
    void refusesAnImageThatClaimsTooManyPixels() throws Exception {
        byte[] jpeg = TestBundles.image("plain.jpg");
        int sof = 0;
        while (jpeg[sof] != (byte) 0xff || jpeg[sof + 1] != (byte) 0xc0) {
            sof++;
        }
        ByteBuffer.wrap(jpeg).putShort(sof + 5, (short) 30_000).putShort(sof + 7, (short) 30_000);
        assertRefused(jpeg, Reason.TOO_LARGE, "30000 x 30000 pixels (expected: at most 50000000 pixels");
        byte[] png = TestBundles.image("noise.png");
        ByteBuffer.wrap(png).putInt(16, 40_000).putInt(20, 10);
        assertRefused(
                png, Reason.TOO_LARGE, "40000 x 10 pixels (expected: at most 50000000 pixels, and 32768 on a side)");
        ByteBuffer.wrap(png).putInt(16, 0);
        assertRefused(png, Reason.CORRUPT_IMAGE, "0 x 10 pixels");
    }

    /** 2,831 scans of 49 megapixels, 308 KB, took a core 41 s. */
    @Test
    void refusesAJpegThatVisitsItsPixelsTooOften() throws Exception {
        byte[] jpeg = TestBundles.image("progressive.jpg");
        int scan = jpeg.length - 2;
        while (jpeg[scan] != (byte) 0xff || jpeg[scan + 1] != (byte) 0xda) {
            scan--;
        }
        int end = jpeg.length - 2; // before the end-of-image marker
        ByteBuffer bomb = ByteBuffer.allocate(jpeg.length + ImageHeader.MAX_SCANS * (end - scan));
        bomb.put(jpeg, 0, end);
        for (int i = 0; i < ImageHeader.MAX_SCANS; i++) {
            bomb.put(jpeg, scan, end - scan);
        }
        bomb.put(jpeg, end, 2);
        assertThat(bomb.hasRemaining()).isFalse();
        assertRefused(bomb.array(), Reason.TOO_LARGE, "65 scans or more (expected: at most 64");
    }

    @Test
    void anImageAsLargeAsItMayBeHasFewerScans() throws Exception {
        byte[] jpeg = TestBundles.image("progressive.jpg");
        ImageHeader header = ImageHeader.read(jpeg, 1_000_000);
        int pixels = header.width() * header.height();
        assertThat(ImageHeader.read(jpeg, pixels)).isEqualTo(header);
        int end = jpeg.length - 2;
        ByteBuffer scans = ByteBuffer.allocate(jpeg.length + 16 * 10).put(jpeg, 0, end);
        for (int i = 0; i < 16; i++) {
            scans.put(
                    new byte[] {(byte) 0xff, (byte) 0xda, 0, 8, 1, 1, 0, 0, 0, 0}); // of one component, without pixels
        }
        scans.put(jpeg, end, 2);
        assertThat(ImageHeader.read(scans.array(), 1_000_000)).isEqualTo(header);
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> ImageHeader.read(scans.array(), pixels))
                .withMessageContaining("17 scans or more");
    }

    @Test
    void refusesAPngWhosePixelsItsBytesCannotHold() throws Exception {
        byte[] png = TestBundles.image("noise.png");
        ByteBuffer.wrap(png).putInt(16, 30_000).putInt(20, 1_600);
        assertRefused(png, Reason.CORRUPT_IMAGE, "bytes of pixels (expected: at least 139534 for 30000 x 1600 pixels)");
    }

    @Test
    void refusesAPngOfCountlessChunks() throws Exception {
        byte[] png = TestBundles.image("noise.png");
        int header = 8 + 12 + 13;
        ByteBuffer bomb = ByteBuffer.allocate(png.length + 12 * ImageHeader.MAX_CHUNKS);
        bomb.put(png, 0, header);
        for (int i = 0; i < ImageHeader.MAX_CHUNKS; i++) {
            bomb.putInt(0).putInt(0x49444154).putInt(0x35af061e); // an IDAT chunk without content
        }
        bomb.put(png, header, png.length - header);
        assertRefused(bomb.array(), Reason.TOO_LARGE, "more than 100000 chunks");
    }

    /** Each segment a directory of tags once took a kilobyte for its 20 bytes, and one of 64 KB hundreds of megabytes. */
    @Test
    void aMillionExifSegmentsAreReadOnceAndTakeNoMemory() throws Exception {
        byte[] jpeg = TestBundles.image("exif-1.jpg");
        byte[] exif = {(byte) 0xff, (byte) 0xe1, 0, 16, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8};
        ByteBuffer many =
                ByteBuffer.allocate(jpeg.length + 900_000 * exif.length).put(jpeg, 0, 2);
        for (int i = 0; i < 900_000; i++) {
            many.put(exif);
        }
        many.put(jpeg, 2, jpeg.length - 2);
        assertThat(ImageHeader.read(many.array(), 1_000_000)).isEqualTo(new ImageHeader(true, 64, 48, 1));
    }

    @Test
    void anOrientationThatLeadsNowhereIsNone() throws Exception {
        byte[] jpeg = TestBundles.image("exif-6.jpg");
        int tiff = 0;
        while (jpeg[tiff] != 'E' || jpeg[tiff + 1] != 'x' || jpeg[tiff + 2] != 'i') {
            tiff++;
        }
        tiff += 6;
        assertThat(ImageHeader.read(jpeg, 1_000_000).orientation()).isEqualTo(6);
        for (int offset : new int[] {-1, Integer.MIN_VALUE, 1 << 16, 7}) {
            ByteBuffer.wrap(jpeg).putInt(tiff + 4, offset);
            assertThat(ImageHeader.read(jpeg, 1_000_000).orientation()).isBetween(1, 8);
        }
    }

    private void assertRefused(byte[] image, Reason reason, String sentence) {
        assertThatExceptionOfType(FrameException.class)
                .isThrownBy(() -> decoder.decode(image))
                .satisfies(e -> assertThat(e.reason()).isEqualTo(reason))
                .withMessageContaining(sentence);
    }

    private static byte[] bytes(DecodedFrame frame) {
        byte[] bytes = new byte[frame.rgb().capacity()];
        frame.rgb().get(0, bytes);
        return bytes;
    }
}
