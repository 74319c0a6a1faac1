package io.upliftstream.model.video;

import io.upliftstream.model.Picture;
import io.upliftstream.model.video.AccessUnit.Codec;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.function.LongPredicate;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.avutil.AVPixFmtDescriptor;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerPointer;
import org.jspecify.annotations.Nullable;

/**
 * The pictures of one video, packet by packet, by FFmpeg on the caller's thread. For one thread at a time.
 *
 * <p>Packets come in decoding order, pictures leave in the order in which they are shown: one of the packet's number or of
 * earlier ones, several, or none.
 */
public final class VideoDecoder implements AutoCloseable {
    /** What a decoder patched, or could not. */
    private static final int DAMAGE = AVFrame.FF_DECODE_ERROR_INVALID_BITSTREAM
            | AVFrame.FF_DECODE_ERROR_MISSING_REFERENCE
            | AVFrame.FF_DECODE_ERROR_CONCEALMENT_ACTIVE
            | AVFrame.FF_DECODE_ERROR_DECODE_SLICES;

    /** Buffers of pictures to use again: a direct buffer costs more to make than to fill. */
    private static final int SPARE = 8;

    /** Frames, and errors, that one packet can bring to light. */
    private static final int MAX_ANSWERS = 64;

    static {
        if (System.getProperty("org.bytedeco.javacpp.maxPhysicalBytes") == null) {
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0"); // as FrameDecoder, for its reason
        }
    }

    /**
     * A picture that is shown.
     *
     * @param packet number of the packet that it came in
     * @param damaged whether a part of it was patched
     * @param interlaced whether it is two fields, which may have come in two packets
     * @param picture null if nobody wanted it
     */
    public record Shown(long packet, boolean damaged, boolean interlaced, @Nullable Picture picture) {}

    /**
     * What a packet has brought.
     *
     * @param shown in the order in which they are shown
     * @param problem FFmpeg's words for what is wrong with the packet; null for nothing
     */
    public record Decoded(List<Shown> shown, @Nullable String problem) {}

    private final AVCodecContext decoder;
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final AVFrame frame = avutil.av_frame_alloc();
    private final PixelConverter converter = new PixelConverter();
    private final BlockingQueue<ByteBuffer> spare = new ArrayBlockingQueue<>(SPARE);
    private volatile long bytes;

    /** @param maxPixels of a picture as the stream states them; a larger one is a problem of its packet */
    public VideoDecoder(Codec codec, long maxPixels) {
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        AVCodec found =
                switch (codec) {
                    case H264 -> avcodec.avcodec_find_decoder_by_name("h264");
                    case H265 -> avcodec.avcodec_find_decoder_by_name("hevc");
                    case AV1 -> avcodec.avcodec_find_decoder_by_name("libaom-av1"); // "av1" has no software of its own
                };
        if (found == null) {
            throw new IllegalStateException("FFmpeg has no decoder for " + codec);
        }
        decoder = avcodec.avcodec_alloc_context3(found);
        decoder.thread_count(1);
        decoder.max_pixels(maxPixels);
        // A picture that can be decoded in part comes out, and says that it is damaged.
        decoder.flags(decoder.flags() | avcodec.AV_CODEC_FLAG_COPY_OPAQUE);
        int opened = avcodec.avcodec_open2(decoder, found, (PointerPointer<?>) null);
        if (opened < 0) {
            close();
            throw new IllegalStateException("FFmpeg's decoder of %s: %s".formatted(codec, message(opened)));
        }
    }

    /**
     * Decodes a packet.
     *
     * @param number growing from packet to packet
     * @param referencesOnly whether a picture that no other one needs is left out
     * @param wanted whether the pixels of a packet's picture are to be made
     */
    public Decoded decode(long number, byte[] data, boolean referencesOnly, LongPredicate wanted) {
        decoder.skip_frame(referencesOnly ? avcodec.AVDISCARD_NONREF : avcodec.AVDISCARD_DEFAULT);
        if (avcodec.av_new_packet(packet, data.length) < 0) {
            throw new OutOfMemoryError("a packet of %d bytes".formatted(data.length));
        }
        packet.data().put(data, 0, data.length);
        packet.pts(number);
        packet.dts(avutil.AV_NOPTS_VALUE);
        List<Shown> shown = new ArrayList<>(1);
        int sent = avcodec.avcodec_send_packet(decoder, packet);
        avcodec.av_packet_unref(packet);
        String problem = sent < 0 && sent != avutil.AVERROR_EOF() ? message(sent) : null;
        String later = receive(shown, wanted);
        return new Decoded(shown, problem == null ? later : problem);
    }

    /** The pictures that are still inside; after it, no packet may come. */
    public List<Shown> flush(LongPredicate wanted) {
        avcodec.avcodec_send_packet(decoder, null);
        List<Shown> shown = new ArrayList<>();
        String unused = receive(shown, wanted);
        return shown;
    }

    private @Nullable String receive(List<Shown> shown, LongPredicate wanted) {
        String problem = null;
        for (int answers = 0; answers < MAX_ANSWERS; answers++) {
            int received = avcodec.avcodec_receive_frame(decoder, frame);
            if (received == avutil.AVERROR_EAGAIN() || received == avutil.AVERROR_EOF()) {
                break;
            } else if (received < 0) {
                problem = message(received);
            } else {
                boolean damaged = (frame.decode_error_flags() & DAMAGE) != 0
                        || (frame.flags() & AVFrame.AV_FRAME_FLAG_CORRUPT) != 0;
                boolean interlaced = (frame.flags() & AVFrame.AV_FRAME_FLAG_INTERLACED) != 0;
                long number = frame.pts();
                Picture picture = !damaged && wanted.test(number) ? picture() : null;
                shown.add(new Shown(number, damaged, interlaced, picture));
                bytes = estimate();
                avutil.av_frame_unref(frame);
            }
        }
        return problem;
    }

    private Picture picture() {
        int width = frame.width();
        int height = frame.height();
        AVFrame rgb = converter.convert(frame, width, height);
        if (rgb == null) {
            throw new IllegalStateException(
                    "a frame of FFmpeg's format %d cannot be converted".formatted(frame.format()));
        }
        int row = 3 * width;
        ByteBuffer pixels = spare.poll();
        if (pixels == null || pixels.capacity() != row * height) {
            pixels = ByteBuffer.allocateDirect(row * height);
        }
        int stride = rgb.linesize(0);
        ByteBuffer rows =
                new BytePointer(rgb.data(0)).capacity((long) stride * height).asByteBuffer();
        for (int y = 0; y < height; y++) {
            pixels.put(y * row, rows, y * stride, row);
        }
        ByteBuffer lent = pixels;
        return new Picture(pixels, width, height, PixelConverter.orientation(frame), () -> spare.offer(lent));
    }

    /** Bytes that the decoder takes, estimated: the pictures that it refers to and holds back, and two at work. */
    public long bytes() {
        return bytes;
    }

    private long estimate() {
        AVPixFmtDescriptor format = avutil.av_pix_fmt_desc_get(decoder.pix_fmt());
        long bits = format == null ? 12 : avutil.av_get_padded_bits_per_pixel(format);
        long pictures = Math.max(1, decoder.refs()) + decoder.has_b_frames() + 2L;
        return pictures * decoder.coded_width() * decoder.coded_height() * bits / 8;
    }

    /** FFmpeg's own words for its error code. */
    public static String message(int error) {
        byte[] text = new byte[avutil.AV_ERROR_MAX_STRING_SIZE];
        avutil.av_strerror(error, text, text.length);
        int length = 0;
        while (length < text.length && text[length] != 0) {
            length++;
        }
        return new String(text, 0, length, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        converter.close();
        avutil.av_frame_free(frame);
        avcodec.av_packet_free(packet);
        avcodec.avcodec_free_context(decoder);
    }
}
