package io.upliftstream.tools.camera;

import io.upliftstream.model.video.PixelConverter;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avformat.AVInputFormat;
import org.bytedeco.ffmpeg.avformat.AVStream;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.avutil.AVRational;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avdevice;
import org.bytedeco.ffmpeg.global.avformat;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.PointerPointer;
import org.jspecify.annotations.Nullable;

/**
 * The frames of a video as FFmpeg decodes them, with what JavaCV's grabber keeps to itself: how a frame is to be seen
 * (colours, display matrix), whether it has a time, and what could not be read.
 */
final class VideoReader implements AutoCloseable {
    /** A device may have nothing yet. */
    private static final int MILLIS_BETWEEN_LOOKS = 5;

    /** Behind the last packet, a decoder has frames, errors, and then its end. */
    private static final int MAX_LOOKS_AT_THE_END = 1000;

    /** What a decoder patched; a reference that is missing is how a stream begins that is joined midway. */
    private static final int DAMAGE = AVFrame.FF_DECODE_ERROR_INVALID_BITSTREAM
            | AVFrame.FF_DECODE_ERROR_CONCEALMENT_ACTIVE
            | AVFrame.FF_DECODE_ERROR_DECODE_SLICES;

    /** Seconds by which a file may end before it says; audio is stretched a little. */
    private static final double TOLERANCE = 0.1;

    private final AVFormatContext input = new AVFormatContext(null);
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final AVFrame frame = avutil.av_frame_alloc();
    private @Nullable AVCodecContext decoder;
    private @Nullable AVStream stream;
    private long packets;
    private long frames;
    /** The end of what was read of any stream. */
    private double lastSecond;

    private long damaged;
    private int readError;
    private boolean drained;

    /**
     * Opens a video.
     *
     * @param url as FFmpeg has it
     * @param format of a device; null for what the content says
     * @param options of FFmpeg's demuxers and protocols; what one does not know, it ignores
     * @throws IOException in FFmpeg's words, if there are no pictures
     */
    VideoReader(String url, @Nullable String format, Map<String, String> options) throws IOException {
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        try {
            open(url, format, options);
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    private void open(String url, @Nullable String format, Map<String, String> options) throws IOException {
        AVInputFormat device = null;
        if (format != null) {
            avdevice.avdevice_register_all();
            device = avformat.av_find_input_format(format);
        }
        try (AVDictionary dictionary = new AVDictionary(null)) {
            options.forEach((key, value) -> avutil.av_dict_set(dictionary, key, value, 0));
            int opened = avformat.avformat_open_input(input, url, device, dictionary);
            avutil.av_dict_free(dictionary);
            require(opened);
        }
        require(avformat.avformat_find_stream_info(input, (PointerPointer<?>) null));
        if (input.nb_stream_groups() > 0
                && input.stream_groups(0).type() == avformat.AV_STREAM_GROUP_PARAMS_TILE_GRID) {
            throw new IOException("its picture is stored in tiles, which are not put together here");
        }
        AVCodec codec = new AVCodec(null);
        int index = avformat.av_find_best_stream(input, avutil.AVMEDIA_TYPE_VIDEO, -1, -1, codec, 0);
        if (index == avutil.AVERROR_STREAM_NOT_FOUND()) {
            throw new IOException("it holds no pictures");
        }
        require(index);
        stream = input.streams(index);
        decoder = avcodec.avcodec_alloc_context3(codec);
        require(avcodec.avcodec_parameters_to_context(decoder, stream.codecpar()));
        decoder.pkt_timebase(stream.time_base());
        decoder.thread_count(0); // as many as there are processors
        require(avcodec.avcodec_open2(decoder, codec, (PointerPointer<?>) null));
    }

    /** The next frame, valid until the one after; null after the last. */
    @Nullable
    AVFrame next() throws IOException {
        AVCodecContext opened = Objects.requireNonNull(decoder);
        for (int looks = 0; !drained || looks < MAX_LOOKS_AT_THE_END; looks += drained ? 1 : 0) {
            int received = avcodec.avcodec_receive_frame(opened, frame);
            if (received >= 0) {
                frames++;
                damaged += (frame.decode_error_flags() & DAMAGE) == 0 ? 0 : 1;
                return frame;
            } else if (received == avutil.AVERROR_EOF()) {
                return null;
            } else if (received != avutil.AVERROR_EAGAIN()) {
                damaged++;
            }
            if (!drained) {
                send(opened);
            }
        }
        return null;
    }

    private void send(AVCodecContext opened) throws IOException {
        int read = avformat.av_read_frame(input, packet);
        if (read == avutil.AVERROR_EAGAIN()) {
            pause();
        } else if (read < 0) {
            readError = read == avutil.AVERROR_EOF() ? 0 : read;
            drained = true;
            avcodec.avcodec_send_packet(opened, null);
        } else {
            long start = packet.pts() == avutil.AV_NOPTS_VALUE ? packet.dts() : packet.pts();
            if (start != avutil.AV_NOPTS_VALUE) {
                AVRational unit = input.streams(packet.stream_index()).time_base();
                lastSecond = Math.max(lastSecond, (double) (start + packet.duration()) * unit.num() / unit.den());
            }
            if (packet.stream_index() == requireStream().index()) {
                packets++;
                if (avcodec.avcodec_send_packet(opened, packet) < 0) {
                    damaged++;
                }
            }
            avcodec.av_packet_unref(packet);
        }
    }

    private static void pause() throws IOException {
        try {
            Thread.sleep(MILLIS_BETWEEN_LOOKS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("stopped while a device had no picture");
        }
    }

    /** When a frame is shown, in microseconds of the stream's own clock; null where nothing says it. */
    @Nullable
    Long micros(AVFrame shown) {
        if (shown.best_effort_timestamp() == avutil.AV_NOPTS_VALUE) {
            return null;
        }
        AVRational unit = requireStream().time_base();
        return Math.round(shown.best_effort_timestamp() * 1e6 * unit.num() / unit.den());
    }

    /** Frames per second on average; 25 where nothing says it. */
    double framesPerSecond() {
        for (AVRational rate : new AVRational[] {
            requireStream().avg_frame_rate(), requireStream().r_frame_rate()
        }) {
            double perSecond = rate.den() == 0 ? 0 : (double) rate.num() / rate.den();
            if (perSecond > 0 && perSecond <= 1000) {
                return perSecond;
            }
        }
        return 25;
    }

    /** Whether it says how long it is, as files do. */
    boolean hasLength() {
        return input.duration() > 0;
    }

    /** Whether the frames are high dynamic range, so that they are tone-mapped. */
    boolean hdr() {
        return PixelConverter.isHdr(requireStream().codecpar().color_trc());
    }

    /** Whether a frame so far was damaged. */
    boolean damaged() {
        return damaged > 0;
    }

    /** What is missing of a file or damaged, once the last frame was read; null for nothing. */
    @Nullable
    String damage() {
        boolean iso = input.iformat().name().getString().contains("mp4");
        long indexed = avformat.avformat_index_get_entries_count(requireStream());
        // Of an MP4 an edit list may want fewer frames than there are.
        long stated = iso ? indexed : Math.max(indexed, requireStream().nb_frames());
        double seconds = input.duration_estimation_method() == avformat.AVFMT_DURATION_FROM_STREAM && hasLength()
                ? (double) input.duration() / avutil.AV_TIME_BASE
                : 0;
        if (packets < stated) {
            return "%d of %d frames could be read".formatted(frames, stated);
        } else if (lastSecond < seconds - 2 / framesPerSecond() - TOLERANCE) {
            return "%d frames could be read, %.1f s of %.1f s".formatted(frames, lastSecond, seconds);
        } else if (readError != 0) {
            return "%d frames could be read, then: %s".formatted(frames, words(readError));
        } else if (damaged > 0) {
            return "%d of %d frames are damaged".formatted(damaged, packets);
        } else if (endsInsidePacket()) {
            return "%d frames could be read, and the last packet is cut".formatted(frames);
        }
        return null;
    }

    /** Of an MPEG transport stream, whose packets have one of three sizes. */
    private boolean endsInsidePacket() {
        if (!input.iformat().name().getString().equals("mpegts") || input.pb() == null) {
            return false;
        }
        long bytes = avformat.avio_size(input.pb());
        return bytes > 0 && bytes % 188 != 0 && bytes % 192 != 0 && bytes % 204 != 0;
    }

    private AVStream requireStream() {
        return Objects.requireNonNull(stream);
    }

    private static int require(int result) throws IOException {
        if (result < 0) {
            throw new IOException(words(result));
        }
        return result;
    }

    /** FFmpeg's own words for its error code. */
    private static String words(int code) {
        byte[] text = new byte[128];
        avutil.av_strerror(code, text, text.length);
        return new String(text, StandardCharsets.UTF_8).replaceFirst("\0.*", "");
    }

    @Override
    public void close() {
        if (decoder != null) {
            avcodec.avcodec_free_context(decoder);
            decoder = null;
        }
        if (!input.isNull()) {
            avformat.avformat_close_input(input);
        }
        avutil.av_frame_free(frame);
        avcodec.av_packet_free(packet);
    }
}
