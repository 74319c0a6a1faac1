package io.upliftstream.tools.camera;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.picture.VideoFile;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.ffmpeg.avcodec.AVCodecParameters;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.global.avformat;
import org.bytedeco.ffmpeg.global.avutil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VideoColoursTest {
    private static final int SIZE = 16;
    private static final List<Color> COLOURS = List.of(
            new Color(0, 126, 0),
            new Color(251, 0, 0),
            new Color(20, 40, 250),
            new Color(250, 200, 20),
            new Color(128, 128, 128));

    @TempDir
    private Path directory = Path.of(".");

    /** Colours are brought to YCbCr by the standards' formulas here, and back by what the video declares. */
    @ParameterizedTest
    @CsvSource({
        "bt709, tv, 8",
        "bt709, pc, 8",
        "smpte170m, tv, 8",
        "smpte170m, pc, 8",
        "bt2020nc, tv, 8",
        "bt709, tv, 10",
        "bt2020nc, tv, 10",
        "bt709, pc, 10",
        "unknown, tv, 8",
        "unknown, unknown, 8"
    })
    void pixelsAreConvertedByWhatTheVideoDeclares(String matrix, String range, int bits) throws Exception {
        for (Color colour : COLOURS) {
            Path file = directory.resolve("colours.mkv");
            int format = bits == 8 ? avutil.AV_PIX_FMT_YUV444P : avutil.AV_PIX_FMT_YUV444P10LE;
            Clips.lossless(
                    file,
                    SIZE,
                    SIZE * (bits == 8 ? 1 : 2),
                    format,
                    planes(colour, matrix, range.equals("pc"), bits),
                    Map.of("colorspace", matrix, "color_range", range));
            assertThat(distance(first(file), colour))
                    .as("%s of %s", first(file), colour)
                    .isLessThanOrEqualTo(2);
        }
    }

    @Test
    void alphaIsDropped() throws Exception {
        Path file = directory.resolve("alpha.mkv");
        byte[] opaque = planes(COLOURS.get(3), "smpte170m", false, 8);
        ByteBuffer planes = ByteBuffer.allocate(4 * SIZE * SIZE).put(opaque); // and alpha of zero
        Clips.lossless(file, SIZE, SIZE, avutil.AV_PIX_FMT_YUVA444P, planes.array(), Map.of("colorspace", "smpte170m"));
        assertThat(distance(first(file), COLOURS.get(3))).isLessThanOrEqualTo(2);
    }

    /** White of ordinary pictures is 58 % of PQ's signal (203 cd/m²; ITU-R BT.2408) and 75 % of HLG's. */
    @ParameterizedTest
    @CsvSource({"smpte2084, 0.58", "arib-std-b67, 0.75"})
    void hdrIsToneMappedAndSaysSo(String transfer, double white) throws Exception {
        Path file = directory.resolve("hdr.mkv");
        short level = (short) Math.round(64 + 876 * white);
        ByteBuffer planes = ByteBuffer.allocate(6 * SIZE * SIZE).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 3 * SIZE * SIZE; i++) {
            planes.putShort(i < SIZE * SIZE ? level : 512);
        }
        Clips.lossless(
                file,
                SIZE,
                2 * SIZE,
                avutil.AV_PIX_FMT_YUV444P10LE,
                planes.array(),
                Map.of(
                        "colorspace",
                        "bt2020nc",
                        "color_primaries",
                        "bt2020",
                        "color_trc",
                        transfer,
                        "color_range",
                        "tv"));
        try (VideoCamera camera = new VideoCamera("x", file.toString(), JpegFormat.of(1))) {
            BufferedImage picture =
                    Images.decode(Objects.requireNonNull(camera.next()).image());
            Color shown = new Color(picture.getRGB(5, 5));
            assertThat(shown.getRed()).isBetween(225, 255);
            assertThat(shown.getGreen()).isBetween(225, 255);
            assertThat(camera.notes()).singleElement().asString().contains("is HDR");
        }
    }

    @Test
    void writtenVideosAreBt709AndSaySo() throws Exception {
        Path file = directory.resolve("written.mp4");
        try (VideoFile video = new VideoFile(file, 64, 64)) {
            for (int i = 0; i < COLOURS.size(); i++) {
                video.add(Clips.flat(64, 64, COLOURS.get(i)), 100_000L * i);
            }
        }
        try (VideoReader reader = new VideoReader(Demuxer.of(file.toString(), false));
                UprightConverter converter = new UprightConverter()) {
            for (Color colour : COLOURS) {
                BufferedImage picture = converter.convert(Objects.requireNonNull(reader.next()), 1, JpegFormat.of(1));
                assertThat(distance(new Color(picture.getRGB(30, 30)), colour))
                        .as("%s", colour)
                        .isLessThanOrEqualTo(2);
            }
            assertThat(reader.next()).isNull();
        }
        assertDeclaresBt709(file);
    }

    private static void assertDeclaresBt709(Path file) {
        AVFormatContext input = new AVFormatContext(null);
        assertThat(avformat.avformat_open_input(input, "file:" + file, null, (AVDictionary) null))
                .isZero();
        try {
            AVCodecParameters declared = input.streams(0).codecpar();
            assertThat(declared.color_space()).isEqualTo(avutil.AVCOL_SPC_BT709);
            assertThat(declared.color_range()).isEqualTo(avutil.AVCOL_RANGE_MPEG);
            assertThat(declared.color_trc()).isEqualTo(avutil.AVCOL_TRC_BT709);
            assertThat(declared.color_primaries()).isEqualTo(avutil.AVCOL_PRI_BT709);
        } finally {
            avformat.avformat_close_input(input);
        }
    }

    private static Color first(Path file) throws IOException {
        try (VideoReader reader = new VideoReader(Demuxer.of(file.toString(), false));
                UprightConverter converter = new UprightConverter()) {
            BufferedImage picture = converter.convert(Objects.requireNonNull(reader.next()), 1, JpegFormat.of(1));
            return new Color(picture.getRGB(SIZE / 2, SIZE / 2));
        }
    }

    private static int distance(Color one, Color other) {
        return Math.max(
                Math.abs(one.getRed() - other.getRed()),
                Math.max(Math.abs(one.getGreen() - other.getGreen()), Math.abs(one.getBlue() - other.getBlue())));
    }

    /** 4:4:4 planes of one colour; where no matrix is declared, by BT.601. */
    private static byte[] planes(Color colour, String matrix, boolean full, int bits) {
        double kr = matrix.equals("bt709") ? 0.2126 : matrix.equals("bt2020nc") ? 0.2627 : 0.299;
        double kb = matrix.equals("bt709") ? 0.0722 : matrix.equals("bt2020nc") ? 0.0593 : 0.114;
        double red = colour.getRed() / 255.0;
        double blue = colour.getBlue() / 255.0;
        double luma = kr * red + (1 - kr - kb) * colour.getGreen() / 255.0 + kb * blue;
        double[] values = {luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))};
        int unit = 1 << (bits - 8);
        ByteBuffer planes =
                ByteBuffer.allocate(3 * SIZE * SIZE * (bits == 8 ? 1 : 2)).order(ByteOrder.LITTLE_ENDIAN);
        for (int plane = 0; plane < 3; plane++) {
            double value = full
                    ? (256 * unit - 1) * values[plane] + (plane == 0 ? 0 : 128 * unit)
                    : unit * ((plane == 0 ? 219 : 224) * values[plane] + (plane == 0 ? 16 : 128));
            for (int i = 0; i < SIZE * SIZE; i++) {
                if (bits == 8) {
                    planes.put((byte) Math.round(value));
                } else {
                    planes.putShort((short) Math.round(value));
                }
            }
        }
        return planes.array();
    }
}
