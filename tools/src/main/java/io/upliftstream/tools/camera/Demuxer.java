package io.upliftstream.tools.camera;

import io.upliftstream.model.video.VideoDecoder;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avformat.AVFormatContext;
import org.bytedeco.ffmpeg.avformat.AVInputFormat;
import org.bytedeco.ffmpeg.avformat.AVStream;
import org.bytedeco.ffmpeg.avutil.AVDictionary;
import org.bytedeco.ffmpeg.avutil.AVRational;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avdevice;
import org.bytedeco.ffmpeg.global.avformat;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.PointerPointer;
import org.jspecify.annotations.Nullable;

/** The packets of a video's picture stream, and what its container says of it. */
final class Demuxer implements AutoCloseable {
    /** A network stream is taken to be gone after this long without a packet. */
    private static final Duration SILENCE = Duration.ofSeconds(10);
    /** A device may have nothing yet. */
    private static final int MILLIS_BETWEEN_LOOKS = 5;

    /** Seconds by which a file may end before it says; audio is stretched a little. */
    private static final double TOLERANCE = 0.1;

    private final AVFormatContext input = new AVFormatContext(null);
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final AVCodec codec = new AVCodec(null);
    private @Nullable AVStream stream;
    private long packets;
    /** The end of what was read of any stream. */
    private double lastSecond;

    private int readError;

    /**
     * Opens a video.
     *
     * @param url as FFmpeg has it
     * @param format of a device; null for what the content says
     * @param options of FFmpeg's demuxers and protocols; what one does not know, it ignores
     * @throws IOException in FFmpeg's words, if there are no pictures
     */
    Demuxer(String url, @Nullable String format, Map<String, String> options) throws IOException {
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        try {
            open(url, format, options);
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    /**
     * Opens a file, a URL or a device.
     *
     * @param encoded whether a device is asked for the H.264 that it encodes itself, rather than for pictures
     */
    static Demuxer of(String source, boolean encoded) throws IOException {
        Map<String, String> options = new HashMap<>();
        if (isDevice(source)) {
            if (encoded) {
                options.put("input_format", "h264");
            }
            return new Demuxer(source, "v4l2", options);
        } else if (isUrl(source)) {
            options.put(source.startsWith("rtsp") ? "timeout" : "rw_timeout", Long.toString(SILENCE.toNanos() / 1000));
            options.put("rtsp_transport", "tcp"); // a lost packet would be a grey smear
            return new Demuxer(source, null, options);
        }
        options.put("pattern_type", "none"); // %d in a name is part of it
        return new Demuxer("file:" + source, null, options); // as is what looks like a protocol
    }

    /** Opens a source for a camera, and says in a sentence why it cannot be opened. */
    static Demuxer require(String source, boolean encoded) throws IOException {
        try {
            return of(source, encoded);
        } catch (IOException e) {
            String expected = isDevice(source)
                    ? "a webcam that is there, free, and readable for this user"
                    : isUrl(source) ? "a stream that is running at this address" : "a video that FFmpeg reads";
            throw new IOException(
                    "input: %s cannot be opened: %s (expected: %s)".formatted(shown(source), e.getMessage(), expected),
                    source.equals(shown(source)) ? e : null);
        }
    }

    /** A source as it may be written anywhere: a password is nothing for a log. */
    static String shown(String source) {
        return source.replaceFirst("//[^/?#]*@", "//***@");
    }

    static boolean isUrl(String source) {
        return source.matches("[a-z][a-z0-9+]+://.*") && CameraSource.existing(source) == null;
    }

    static boolean isDevice(String source) {
        return source.startsWith("/dev/") && !Files.isRegularFile(Path.of(source));
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
        int index = avformat.av_find_best_stream(input, avutil.AVMEDIA_TYPE_VIDEO, -1, -1, codec, 0);
        if (index == avutil.AVERROR_STREAM_NOT_FOUND()) {
            throw new IOException("it holds no pictures");
        }
        require(index);
        stream = input.streams(index);
    }

    /** The picture stream. */
    AVStream stream() {
        return Objects.requireNonNull(stream);
    }

    /** The decoder for it; null if there is none. */
    AVCodec codec() {
        return codec;
    }

    /** Whether it lasts as long as somebody films: not a file, which says how long it is. */
    boolean live(String source) {
        return isDevice(source) || (isUrl(source) && !hasLength());
    }

    /** The next packet of the picture stream, valid until the one after; null after the last. */
    @Nullable
    AVPacket next() throws IOException {
        while (true) {
            avcodec.av_packet_unref(packet);
            int read = avformat.av_read_frame(input, packet);
            if (read == avutil.AVERROR_EAGAIN()) {
                pause();
            } else if (read < 0) {
                readError = read == avutil.AVERROR_EOF() ? 0 : read;
                return null;
            } else {
                long start = packet.pts() == avutil.AV_NOPTS_VALUE ? packet.dts() : packet.pts();
                if (start != avutil.AV_NOPTS_VALUE) {
                    AVRational unit = input.streams(packet.stream_index()).time_base();
                    lastSecond = Math.max(lastSecond, (double) (start + packet.duration()) * unit.num() / unit.den());
                }
                if (packet.stream_index() == stream().index()) {
                    packets++;
                    return packet;
                }
            }
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

    /** A time of the stream in microseconds of its own clock; null where nothing says it. */
    @Nullable
    Long micros(long timestamp) {
        if (timestamp == avutil.AV_NOPTS_VALUE) {
            return null;
        }
        AVRational unit = stream().time_base();
        return Math.round(timestamp * 1e6 * unit.num() / unit.den());
    }

    /** Frames per second on average; 25 where nothing says it. */
    double framesPerSecond() {
        for (AVRational rate :
                new AVRational[] {stream().avg_frame_rate(), stream().r_frame_rate()}) {
            double perSecond = rate.den() == 0 ? 0 : (double) rate.num() / rate.den();
            if (perSecond > 0 && perSecond <= 1000) {
                return perSecond;
            }
        }
        return 25;
    }

    /** Whether it says how long it is, as files do. */
    private boolean hasLength() {
        return input.duration() > 0;
    }

    /**
     * What is missing of a file or damaged, once the last frame was read; null for nothing.
     *
     * @param frames that could be read
     * @param damaged frames
     */
    @Nullable
    String damage(long frames, long damaged) {
        boolean iso = input.iformat().name().getString().contains("mp4");
        long indexed = avformat.avformat_index_get_entries_count(stream());
        // Of an MP4 an edit list may want fewer frames than there are.
        long stated = iso ? indexed : Math.max(indexed, stream().nb_frames());
        double seconds = input.duration_estimation_method() == avformat.AVFMT_DURATION_FROM_STREAM && hasLength()
                ? (double) input.duration() / avutil.AV_TIME_BASE
                : 0;
        if (packets < stated) {
            return "%d of %d frames could be read".formatted(frames, stated);
        } else if (lastSecond < seconds - 2 / framesPerSecond() - TOLERANCE) {
            return "%d frames could be read, %.1f s of %.1f s".formatted(frames, lastSecond, seconds);
        } else if (readError != 0) {
            return "%d frames could be read, then: %s".formatted(frames, VideoDecoder.message(readError));
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

    static int require(int result) throws IOException {
        if (result < 0) {
            throw new IOException(VideoDecoder.message(result));
        }
        return result;
    }

    @Override
    public void close() {
        if (!input.isNull()) {
            avformat.avformat_close_input(input);
        }
        avcodec.av_packet_free(packet);
    }
}
