package io.upliftstream.model.video;

import org.bytedeco.ffmpeg.avutil.AVDictionaryEntry;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.avutil.AVFrameSideData;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.ffmpeg.global.swscale;
import org.bytedeco.ffmpeg.swscale.SwsContext;
import org.bytedeco.javacpp.IntPointer;
import org.jspecify.annotations.Nullable;

/**
 * Turns FFmpeg's frames into pixels as people see them: three colours of eight bits, by the matrix and the range that the
 * frame declares, without alpha. Where a frame declares nothing, BT.601 and limited range (full for RGB, grey and the formats
 * of JPEG), as the {@code ffmpeg} program has it. For one thread.
 */
public final class PixelConverter implements AutoCloseable {
    private static final int ONE = 1 << 16;
    /** The one order of colours: FFmpeg rounds deep formats otherwise for the other. */
    private static final int TO_FORMAT = avutil.AV_PIX_FMT_RGB24;

    /** What a conversion depends on; a stream may change any of it. */
    private record Conversion(int width, int height, int format, int colours, int range, int toWidth, int toHeight) {
        @Nullable
        SwsContext context() {
            SwsContext made = swscale.sws_getContext(
                    width, height, format, toWidth, toHeight, TO_FORMAT, swscale.SWS_BICUBIC, null, null, (double[])
                            null);
            if (made == null) {
                return null;
            }
            try (IntPointer table = new IntPointer();
                    IntPointer full = new IntPointer(1);
                    IntPointer unused = new IntPointer(1)) {
                // As the format alone says: JPEG's formats and grey have the full range.
                swscale.sws_getColorspaceDetails(made, table, full, table, unused, unused, unused, unused);
                int fullRange =
                        range == avutil.AVCOL_RANGE_UNSPECIFIED ? full.get() : range == avutil.AVCOL_RANGE_JPEG ? 1 : 0;
                IntPointer matrix = swscale.sws_getCoefficients(colours);
                swscale.sws_setColorspaceDetails(made, matrix, fullRange, matrix, 1, 0, ONE, ONE);
            }
            return made;
        }
    }

    private @Nullable Conversion conversion;
    private @Nullable SwsContext context;
    private final SwsContext toneMapping = swscale.sws_alloc_context();
    private final AVFrame pixels = avutil.av_frame_alloc();

    /**
     * Converts a frame as it is stored, scaled to a size.
     *
     * @return the pixels, red first, valid until the next call; null if FFmpeg has no way from the frame's format
     */
    public @Nullable AVFrame convert(AVFrame frame, int width, int height) {
        if (pixels.width() != width || pixels.height() != height) {
            avutil.av_frame_unref(pixels);
            pixels.format(TO_FORMAT).width(width).height(height);
            avutil.av_frame_get_buffer(pixels, 0);
        }
        return (isHdr(frame.color_trc()) ? toneMap(frame) : scale(frame)) < 0 ? null : pixels;
    }

    private int scale(AVFrame frame) {
        Conversion wanted = new Conversion(
                frame.width(),
                frame.height(),
                frame.format(),
                frame.colorspace(),
                frame.color_range(),
                pixels.width(),
                pixels.height());
        if (!wanted.equals(conversion)) {
            swscale.sws_freeContext(context);
            context = wanted.context();
            conversion = wanted;
        }
        return context == null
                ? -1
                : swscale.sws_scale(
                        context, frame.data(), frame.linesize(), 0, frame.height(), pixels.data(), pixels.linesize());
    }

    /** Whether a transfer function is one of high dynamic range: PQ or HLG. */
    public static boolean isHdr(int transfer) {
        return transfer == avutil.AVCOL_TRC_SMPTE2084 || transfer == avutil.AVCOL_TRC_ARIB_STD_B67;
    }

    /** Brings the brightness and the colours of PQ and HLG into those of BT.709, by FFmpeg's perceptual mapping. */
    private int toneMap(AVFrame frame) {
        pixels.colorspace(avutil.AVCOL_SPC_RGB).color_range(avutil.AVCOL_RANGE_JPEG);
        pixels.color_primaries(avutil.AVCOL_PRI_BT709).color_trc(avutil.AVCOL_TRC_BT709);
        return swscale.sws_scale_frame(toneMapping, pixels, frame);
    }

    /**
     * How a frame is turned, as an orientation of EXIF, 1 to 8: by its display matrix, to the nearest quarter, or by the EXIF
     * data of a picture that has none.
     */
    public static int orientation(AVFrame frame) {
        AVFrameSideData side = avutil.av_frame_get_side_data(frame, avutil.AV_FRAME_DATA_DISPLAYMATRIX);
        if (side == null) {
            AVDictionaryEntry exif = avutil.av_dict_get(frame.metadata(), "Orientation", null, 0);
            String value = exif == null ? "" : exif.value().getString().trim();
            return value.matches("[1-8]") ? Integer.parseInt(value) : 1;
        }
        // The picture's x goes to (a, b) and its y to (c, d); y points down.
        IntPointer matrix = new IntPointer(side.data());
        int a = matrix.get(0);
        int b = matrix.get(1);
        int c = matrix.get(3);
        int d = matrix.get(4);
        if (Math.abs((long) a) + Math.abs((long) d) >= Math.abs((long) b) + Math.abs((long) c)) {
            return a < 0 ? (d < 0 ? 3 : 2) : (d < 0 ? 4 : 1);
        }
        return b < 0 ? (c < 0 ? 7 : 8) : (c < 0 ? 6 : 5);
    }

    @Override
    public void close() {
        swscale.sws_freeContext(context);
        context = null; // which the call leaves as it is
        swscale.sws_free_context(toneMapping);
        avutil.av_frame_free(pixels);
    }
}
