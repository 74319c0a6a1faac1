package io.upliftstream.tools.camera;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.bytedeco.ffmpeg.global.avcodec;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Pictures of {@link Clips#corner} that say how they are to be turned, in every container that can say it. */
class OrientationTest {
    private static final int ONE = 1 << 16;

    @TempDir
    private static Path shared = Path.of(".");

    private static byte[] mp4 = {};

    @BeforeAll
    static void film() throws IOException {
        Path file = shared.resolve("corner.mp4");
        Clips.video(file, "mp4", avcodec.AV_CODEC_ID_MPEG4, List.of(Clips.corner()));
        mp4 = Files.readAllBytes(file);
    }

    /** The matrix of a track: x goes to (a, b), y to (c, d). */
    @ParameterizedTest
    @CsvSource({
        "1, 1, 0, 0, 1",
        "2, -1, 0, 0, 1",
        "3, -1, 0, 0, -1",
        "4, 1, 0, 0, -1",
        "5, 0, 1, 1, 0",
        "6, 0, 1, -1, 0",
        "7, 0, -1, -1, 0",
        "8, 0, -1, 1, 0"
    })
    void videoIsTurnedByItsDisplayMatrix(int orientation, int a, int b, int c, int d, @TempDir Path directory)
            throws IOException {
        byte[] turned = mp4.clone();
        int matrix = new String(mp4, StandardCharsets.ISO_8859_1).indexOf("tkhd") + 4 + 40; // version 0
        ByteBuffer bytes = ByteBuffer.wrap(turned);
        int[] values = {a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30};
        for (int i = 0; i < values.length; i++) {
            bytes.putInt(matrix + 4 * i, values[i]);
        }
        Path file = Files.write(directory.resolve("turned.mp4"), turned);
        for (int scale = 1; scale <= 2; scale++) {
            int width = (orientation < 5 ? 64 : 48) / scale;
            JpegFormat format = new JpegFormat(1, scale == 1 ? 0 : width, 0);
            try (VideoCamera camera = new VideoCamera("x", file.toString(), format)) {
                assertTurned(Images.decode(Objects.requireNonNull(camera.next()).image()), orientation, scale);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void tiffIsTurnedByItsTag(int orientation, @TempDir Path directory) throws IOException {
        Path file = Files.write(directory.resolve("photo.tif"), tiff(Clips.corner(), orientation));
        assertTurned(only(file), orientation, 1);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void webpIsTurnedByItsExif(int orientation, @TempDir Path directory) throws IOException {
        Path plain = directory.resolve("plain.webp");
        Clips.video(plain, "webp", avcodec.AV_CODEC_ID_WEBP, List.of(Clips.corner()));
        Path file = directory.resolve("photo.webp");
        Files.write(file, withExif(Files.readAllBytes(plain), orientation));
        Files.delete(plain);
        assertTurned(only(file), orientation, 1);
    }

    /** What is JPEG or PNG goes out as it is, with its EXIF, by its first bytes and not by its name. */
    @Test
    void jpegOfAnyNameKeepsItsBytes(@TempDir Path directory) throws IOException {
        byte[] jpeg = Images.jpeg(Clips.corner(), 0.9);
        for (String name : List.of("a.jfif", "b.jpe", "c.mpo", "d.webp", "e.JPEG")) {
            Files.write(directory.resolve(name), jpeg);
        }
        try (ImageDirectory camera = new ImageDirectory("photos", directory)) {
            assertThat(Clips.all(camera)).hasSize(5).allSatisfy(shot -> {
                assertThat(shot.image()).isEqualTo(jpeg);
                assertThat(shot.format()).isEqualTo("jpeg");
            });
        }
    }

    private static BufferedImage only(Path file) throws IOException {
        try (ImageDirectory camera = new ImageDirectory("photo", file)) {
            return Images.decode(Objects.requireNonNull(camera.next()).image());
        }
    }

    private static void assertTurned(BufferedImage shown, int orientation, int scale) {
        assertThat(List.of(shown.getWidth(), shown.getHeight()))
                .isEqualTo(orientation < 5 ? List.of(64 / scale, 48 / scale) : List.of(48 / scale, 64 / scale));
        boolean right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
        boolean below = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
        int left = right ? shown.getWidth() - 5 : 4;
        int top = below ? shown.getHeight() - 5 : 4;
        assertThat(shown.getRGB(left, top) & 0xff).as("the corner").isGreaterThan(200);
        assertThat(shown.getRGB(shown.getWidth() - 1 - left, top) & 0xff).isLessThan(50);
        assertThat(shown.getRGB(left, shown.getHeight() - 1 - top) & 0xff).isLessThan(50);
    }

    /** Uncompressed, little-endian, one strip. */
    private static byte[] tiff(BufferedImage picture, int orientation) {
        int width = picture.getWidth();
        int height = picture.getHeight();
        int[][] tags = {
            {256, width},
            {257, height},
            {258, 8},
            {259, 1},
            {262, 2},
            {273, 0},
            {274, orientation},
            {277, 3},
            {278, height},
            {279, 3 * width * height}
        };
        int pixels = 8 + 2 + 12 * tags.length + 4;
        ByteBuffer bytes = ByteBuffer.allocate(pixels + 3 * width * height).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put(new byte[] {'I', 'I', 42, 0}).putInt(8).putShort((short) tags.length);
        for (int[] tag : tags) {
            boolean isLong = tag[0] == 273 || tag[0] == 279;
            bytes.putShort((short) tag[0]).putShort((short) (isLong ? 4 : 3)).putInt(1);
            bytes.putInt(tag[0] == 273 ? pixels : tag[1]);
        }
        bytes.putInt(0);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int rgb = picture.getRGB(x, y);
                bytes.put((byte) (rgb >> 16)).put((byte) (rgb >> 8)).put((byte) rgb);
            }
        }
        return bytes.array();
    }

    /** Makes a simple WebP an extended one (RFC 9649) with EXIF behind its picture. */
    private static byte[] withExif(byte[] webp, int orientation) throws IOException {
        ByteBuffer exif = ByteBuffer.allocate(26).order(ByteOrder.LITTLE_ENDIAN);
        exif.put(new byte[] {'I', 'I', 42, 0}).putInt(8).putShort((short) 1);
        exif.putShort((short) 274)
                .putShort((short) 3)
                .putInt(1)
                .putInt(orientation)
                .putInt(0);
        ByteBuffer extended = ByteBuffer.allocate(18).order(ByteOrder.LITTLE_ENDIAN);
        extended.put("VP8X".getBytes(StandardCharsets.US_ASCII)).putInt(10).putInt(8);
        extended.put(new byte[] {63, 0, 0, 47, 0, 0}); // width and height less one, in three bytes each
        String ascii = new String(webp, StandardCharsets.ISO_8859_1);
        int picture = ascii.indexOf("VP8 ");
        ByteArrayOutputStream chunks = new ByteArrayOutputStream();
        chunks.write("WEBP".getBytes(StandardCharsets.US_ASCII));
        chunks.write(extended.array());
        chunks.write(webp, picture, webp.length - picture);
        chunks.write("EXIF".getBytes(StandardCharsets.US_ASCII));
        chunks.write(new byte[] {26, 0, 0, 0});
        chunks.write(exif.array());
        ByteBuffer file = ByteBuffer.allocate(8 + chunks.size()).order(ByteOrder.LITTLE_ENDIAN);
        file.put("RIFF".getBytes(StandardCharsets.US_ASCII))
                .putInt(chunks.size())
                .put(chunks.toByteArray());
        return file.array();
    }
}
