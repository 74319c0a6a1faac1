package io.upliftstream.tools.picture;

import io.upliftstream.model.video.VideoDecoder;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.avutil.AVRational;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.ffmpeg.global.swscale;
import org.bytedeco.ffmpeg.swscale.SwsContext;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * Encodes pictures of one size as video: H.264 by OpenH264 where FFmpeg was built with it, as the bundled one is, else
 * MPEG-4 Part 2. Its colours are those of BT.709 in limited range, and the stream says so.
 */
public final class VideoEncoder implements AutoCloseable {
    /** Takes a packet, which is valid until it returns. */
    interface Sink {
        void take(AVPacket packet) throws IOException;
    }

    private static final String OPEN_H264 = "libopenh264";
    /** Units of time per second, as usual in MPEG: any frame rate, and frames that are missing, keep their times. */
    private static final int TICKS = 90_000;

    private static final int FRAMES_BETWEEN_KEYS = 50;
    /** The most units per second that MPEG-4 Part 2 can state. */
    private static final int MPEG4_TICKS = 65_535;

    private static final int MPEG4_QUALITY = 4;
    /** The quantiser, of 0 to 51. */
    private static final int H264_QUALITY = 22;

    private static final int H264_MAX_BIT_RATE = 50_000_000;
    /** For the encoder's budget alone. */
    private static final int NOMINAL_FRAMES_PER_SECOND = 30;

    /** Of OpenH264: pixels of the least side and of a frame at its highest level. */
    private static final int MIN_SIDE = 16;

    private static final int MAX_PIXELS = 4096 * 2304;
    private static final int ONE = 1 << 16;
    private final BufferedImage canvas;
    private final BytePointer pixels;
    private final AVFrame frame = avutil.av_frame_alloc();
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final AVCodecContext encoder;
    private final SwsContext conversion;
    private final int ticks;

    /** Whether there can be a video of so large a picture. */
    public static boolean encodes(int width, int height) {
        return width >= MIN_SIDE && height >= MIN_SIDE && (long) width * height <= MAX_PIXELS;
    }

    /**
     * Begins a stream; an odd last row or column is left out, as H.264 wants it.
     *
     * @param headerApart whether parameter sets are wanted beside the stream, as files have them, and not in it
     * @throws IOException in FFmpeg's words, if there is no encoder for this size
     */
    public VideoEncoder(int width, int height, boolean headerApart) throws IOException {
        int evenWidth = width & ~1;
        int evenHeight = height & ~1;
        canvas = new BufferedImage(evenWidth, evenHeight, BufferedImage.TYPE_3BYTE_BGR);
        pixels = new BytePointer(3L * evenWidth * evenHeight);
        frame.format(avutil.AV_PIX_FMT_YUV420P).width(evenWidth).height(evenHeight);
        avutil.av_frame_get_buffer(frame, 0);
        conversion = toBt709(evenWidth, evenHeight);
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        AVCodec h264 = avcodec.avcodec_find_encoder_by_name(OPEN_H264);
        AVCodec codec = h264 == null ? avcodec.avcodec_find_encoder(avcodec.AV_CODEC_ID_MPEG4) : h264;
        ticks = h264 == null ? MPEG4_TICKS : TICKS;
        encoder = avcodec.avcodec_alloc_context3(codec);
        try {
            openEncoder(codec, h264 != null, evenWidth, evenHeight, headerApart);
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    /** Whether a stream is H.264. */
    public boolean h264() {
        return encoder.codec_id() == avcodec.AV_CODEC_ID_H264;
    }

    /** Width and height of the stream are even. */
    public boolean fits(BufferedImage picture) {
        return (picture.getWidth() & ~1) == canvas.getWidth() && (picture.getHeight() & ~1) == canvas.getHeight();
    }

    /** Units of time per second. */
    int ticks() {
        return ticks;
    }

    AVCodecContext context() {
        return encoder;
    }

    private static SwsContext toBt709(int width, int height) {
        SwsContext made = swscale.sws_getContext(
                width,
                height,
                avutil.AV_PIX_FMT_BGR24,
                width,
                height,
                avutil.AV_PIX_FMT_YUV420P,
                swscale.SWS_BICUBIC | swscale.SWS_ACCURATE_RND,
                null,
                null,
                (double[]) null);
        IntPointer matrix = swscale.sws_getCoefficients(swscale.SWS_CS_ITU709);
        swscale.sws_setColorspaceDetails(made, matrix, 1, matrix, 0, 0, ONE, ONE);
        return made;
    }

    private void openEncoder(AVCodec codec, boolean h264, int width, int height, boolean headerApart)
            throws IOException {
        encoder.width(width).height(height).pix_fmt(avutil.AV_PIX_FMT_YUV420P);
        encoder.time_base(new AVRational().num(1).den(ticks))
                .framerate(new AVRational().num(NOMINAL_FRAMES_PER_SECOND).den(1));
        encoder.gop_size(FRAMES_BETWEEN_KEYS);
        encoder.colorspace(avutil.AVCOL_SPC_BT709).color_range(avutil.AVCOL_RANGE_MPEG);
        encoder.color_primaries(avutil.AVCOL_PRI_BT709).color_trc(avutil.AVCOL_TRC_BT709);
        if (headerApart) {
            encoder.flags(encoder.flags() | avcodec.AV_CODEC_FLAG_GLOBAL_HEADER);
        }
        AVDictionary options = new AVDictionary(null);
        if (h264) {
            // The same quality throughout: flat colours come back within two of 255.
            avutil.av_dict_set(options, "rc_mode", "quality", 0);
            encoder.qmin(H264_QUALITY).qmax(H264_QUALITY).bit_rate(H264_MAX_BIT_RATE);
        } else {
            encoder.flags(encoder.flags() | avcodec.AV_CODEC_FLAG_QSCALE);
            encoder.global_quality(avutil.FF_QP2LAMBDA * MPEG4_QUALITY);
        }
        int opened = avcodec.avcodec_open2(encoder, codec, options);
        avutil.av_dict_free(options);
        require(opened);
    }

    /**
     * Encodes a picture: one of another size than the stream's is scaled into that, with its proportions.
     *
     * @param tick its time in units of {@link #ticks}, later than those before
     */
    void add(BufferedImage picture, long tick, Sink sink) throws IOException {
        Graphics2D pen = canvas.createGraphics();
        if (fits(picture)) {
            pen.drawImage(picture, 0, 0, null);
        } else {
            fit(picture, pen);
        }
        pen.dispose();
        pixels.put(((DataBufferByte) canvas.getRaster().getDataBuffer()).getData());
        require(avutil.av_frame_make_writable(frame));
        try (PointerPointer<BytePointer> data = new PointerPointer<>(1);
                IntPointer stride = new IntPointer(1)) {
            data.put(0, pixels);
            stride.put(0, 3 * canvas.getWidth());
            require(swscale.sws_scale(conversion, data, stride, 0, canvas.getHeight(), frame.data(), frame.linesize()));
        }
        frame.pts(tick);
        require(avcodec.avcodec_send_frame(encoder, frame));
        drain(sink);
    }

    /** Ends the stream. */
    void end(Sink sink) throws IOException {
        require(avcodec.avcodec_send_frame(encoder, null));
        drain(sink);
    }

    /** Encodes a picture without delay. */
    public Encoded encode(BufferedImage picture, long number) throws IOException {
        Encoded[] encoded = new Encoded[1];
        add(picture, number * (ticks / NOMINAL_FRAMES_PER_SECOND), taken -> {
            byte[] data = new byte[taken.size()];
            taken.data().get(data);
            encoded[0] = new Encoded(data, (taken.flags() & avcodec.AV_PKT_FLAG_KEY) != 0);
        });
        if (encoded[0] == null) {
            throw new IOException("the encoder gave nothing for a picture");
        }
        return encoded[0];
    }

    /** A picture's access unit in Annex B, with parameter sets at key frames. */
    @SuppressWarnings("ArrayRecordComponent") // bytes are handed over, not copied
    public record Encoded(byte[] data, boolean key) {}

    private void fit(BufferedImage picture, Graphics2D pen) {
        pen.clearRect(0, 0, canvas.getWidth(), canvas.getHeight()); // to black
        double scale = Math.min(
                (double) canvas.getWidth() / picture.getWidth(), (double) canvas.getHeight() / picture.getHeight());
        int width = Math.max(1, (int) Math.round(picture.getWidth() * scale));
        int height = Math.max(1, (int) Math.round(picture.getHeight() * scale));
        pen.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
        pen.drawImage(picture, (canvas.getWidth() - width) / 2, (canvas.getHeight() - height) / 2, width, height, null);
    }

    private void drain(Sink sink) throws IOException {
        while (avcodec.avcodec_receive_packet(encoder, packet) >= 0) {
            sink.take(packet);
        }
    }

    static void require(int result) throws IOException {
        if (result < 0) {
            throw new IOException(VideoDecoder.message(result));
        }
    }

    @Override
    public void close() {
        if (pixels.isNull()) {
            return;
        }
        avcodec.avcodec_free_context(encoder);
        avutil.av_frame_free(frame);
        avcodec.av_packet_free(packet);
        swscale.sws_freeContext(conversion);
        pixels.close();
    }
}
