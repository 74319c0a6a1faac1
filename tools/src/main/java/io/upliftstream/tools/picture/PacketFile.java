package io.upliftstream.tools.picture;

import io.upliftstream.schemas.VideoCodec;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.PriorityQueue;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVCodecParserContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avutil.AVRational;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * An MP4 file of packets as they were sent, each picture shown at its own time. A packet's decoding time is the time of
 * the picture that is shown as the same number, so much earlier that no picture is shown before it is decoded.
 */
public final class PacketFile implements VideoOutput {
    private static final int TICKS = 90_000;
    /** More than the pictures that a decoder of any codec here holds back. */
    private static final int MAX_REORDER = 20;

    private static final int DEFAULT_DURATION = TICKS / 25;
    private static final long MICROS = 1_000_000;
    private static final long SHORTEST_STEP = MICROS / 25;
    private static final long LONGEST_LEARNED = 10 * MICROS;
    /** More than an hour is a leap of the clock. */
    private static final long MAX_GAP = 3600 * MICROS;

    @SuppressWarnings("ArrayRecordComponent") // bytes are handed over, not copied
    private record Waiting(byte[] data, boolean key, long tick) {}

    private final Mp4File output;
    private final VideoCodec codec;
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final Deque<Waiting> waiting = new ArrayDeque<>();
    private final PriorityQueue<Long> times = new PriorityQueue<>();
    /** The latest time by the camera's clock, and by the file's. */
    private long newest;

    private long position;
    private long learned;
    private long packets;
    private long delay = -1;
    private long lastDecoded = Long.MIN_VALUE;
    private long continued;

    /**
     * Begins a file with its first packet, a key frame with its parameter sets.
     *
     * @param micros when the first picture was taken
     * @throws IOException if it cannot be written, or the packet does not say what is needed
     */
    public PacketFile(Path file, VideoCodec codec, byte[] parameterSets, byte[] data, long micros) throws IOException {
        this.codec = codec;
        newest = micros;
        output = new Mp4File(file);
        try {
            describe(parameterSets, data);
            output.begin();
        } catch (IOException | RuntimeException e) {
            close(e);
            throw e;
        }
    }

    private void close(Exception cause) {
        try {
            output.close();
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
        avcodec.av_packet_free(packet);
    }

    private void describe(byte[] parameterSets, byte[] data) throws IOException {
        int id =
                switch (codec) {
                    case H264 -> avcodec.AV_CODEC_ID_H264;
                    case H265 -> avcodec.AV_CODEC_ID_HEVC;
                    default -> avcodec.AV_CODEC_ID_AV1;
                };
        AVCodec decoder = avcodec.avcodec_find_decoder(id);
        AVCodecContext context = avcodec.avcodec_alloc_context3(decoder);
        AVCodecParserContext parser = avcodec.av_parser_init(id);
        try (BytePointer bytes = new BytePointer(data.length + avcodec.AV_INPUT_BUFFER_PADDING_SIZE);
                PointerPointer<BytePointer> unit = new PointerPointer<>(1);
                IntPointer size = new IntPointer(1)) {
            Pointer.memset(bytes, 0, bytes.capacity());
            bytes.put(data, 0, data.length);
            parser.flags(parser.flags() | AVCodecParserContext.PARSER_FLAG_COMPLETE_FRAMES);
            avcodec.av_parser_parse2(
                    parser, context, unit, size, bytes, data.length, avutil.AV_NOPTS_VALUE, avutil.AV_NOPTS_VALUE, 0);
            if (parser.width() <= 0 || parser.height() <= 0) {
                throw new IOException("video: its first key frame does not say its size (expected: parameter sets)");
            }
            context.width(parser.width()).height(parser.height()).pix_fmt(parser.format());
            output.require(
                    avcodec.avcodec_parameters_from_context(output.stream().codecpar(), context));
        } finally {
            avcodec.av_parser_close(parser);
            avcodec.avcodec_free_context(context);
        }
        output.stream().codecpar().codec_tag(codec == VideoCodec.H265 ? tag("hvc1") : 0);
        BytePointer extra =
                new BytePointer(avutil.av_mallocz((long) parameterSets.length + avcodec.AV_INPUT_BUFFER_PADDING_SIZE));
        extra.put(parameterSets, 0, parameterSets.length);
        output.stream().codecpar().extradata(extra).extradata_size(parameterSets.length);
        output.stream().time_base(new AVRational().num(1).den(TICKS));
    }

    private static int tag(String name) {
        return name.charAt(0) | name.charAt(1) << 8 | name.charAt(2) << 16 | name.charAt(3) << 24;
    }

    /**
     * Adds the next packet in decoding order.
     *
     * @param micros when its picture was taken. A clock that goes back by more than pictures are reordered, or leaps ahead
     *     by more than an hour, goes on one step later; a picture that cannot be shown at its time is shown later
     */
    public void add(byte[] data, boolean key, long micros) throws IOException {
        long tick = Math.round(position(micros) * (double) TICKS / MICROS);
        waiting.add(new Waiting(data, key, tick));
        times.add(tick);
        if (waiting.size() > MAX_REORDER) {
            write(waiting.remove());
        }
    }

    private long position(long micros) {
        long step = Math.max(SHORTEST_STEP, learned / Math.max(1, packets++));
        double ahead = (double) micros - newest; // which does not overflow
        if (ahead <= 0 && ahead >= -MAX_REORDER * step) {
            return position + (micros - newest);
        } else if (ahead > 0 && ahead <= MAX_GAP) {
            learned += Math.min(micros - newest, LONGEST_LEARNED);
            position += micros - newest;
        } else {
            continued++;
            position += step;
        }
        newest = micros;
        return position;
    }

    private void write(Waiting next) throws IOException {
        if (delay < 0) {
            delay = delay(next);
        }
        long decoded = Math.max(lastDecoded + 1, times.remove() - delay);
        long shown = Math.max(decoded, next.tick);
        continued += shown == next.tick ? 0 : 1;
        long duration = lastDecoded == Long.MIN_VALUE ? DEFAULT_DURATION : Math.max(1, decoded - lastDecoded);
        lastDecoded = decoded;
        output.require(avcodec.av_new_packet(packet, next.data.length));
        packet.data().put(next.data, 0, next.data.length);
        packet.flags(next.key ? avcodec.AV_PKT_FLAG_KEY : 0)
                .dts(decoded)
                .pts(shown)
                .duration(duration);
        avcodec.av_packet_rescale_ts(
                packet, new AVRational().num(1).den(TICKS), output.stream().time_base());
        output.write(packet);
    }

    /** How much earlier than it is shown a picture has to be decoded, of the packets that wait with the first. */
    private long delay(Waiting next) {
        PriorityQueue<Long> sorted = new PriorityQueue<>(times);
        long most = sorted.remove() - next.tick;
        for (Waiting other : waiting) {
            most = Math.max(most, sorted.remove() - other.tick);
        }
        return Math.max(0, most);
    }

    @Override
    public long continued() {
        return continued;
    }

    /** Of its packets. */
    public VideoCodec codec() {
        return codec;
    }

    @Override
    public void close() throws IOException {
        try (output) {
            while (!waiting.isEmpty()) {
                write(waiting.remove());
            }
            output.finish();
        } finally {
            avcodec.av_packet_free(packet);
        }
    }
}
