package io.upliftstream.tools.camera;

import io.upliftstream.model.video.PixelConverter;
import java.io.IOException;
import java.util.Objects;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.PointerPointer;
import org.jspecify.annotations.Nullable;

/**
 * The frames of a video as FFmpeg decodes them, with what JavaCV's grabber keeps to itself: how a frame is to be seen
 * (colours, display matrix), whether it has a time, and what could not be read.
 */
final class VideoReader implements AutoCloseable {
    /** Behind the last packet, a decoder has frames, errors, and then its end. */
    private static final int MAX_LOOKS_AT_THE_END = 1000;

    /** What a decoder patched; a reference that is missing is how a stream begins that is joined midway. */
    private static final int DAMAGE = AVFrame.FF_DECODE_ERROR_INVALID_BITSTREAM
            | AVFrame.FF_DECODE_ERROR_CONCEALMENT_ACTIVE
            | AVFrame.FF_DECODE_ERROR_DECODE_SLICES;

    private final Demuxer input;
    private final AVFrame frame = avutil.av_frame_alloc();
    private @Nullable AVCodecContext decoder;
    private long frames;
    private long damaged;
    private boolean drained;

    /**
     * Decodes a video, and closes it.
     *
     * @throws IOException in FFmpeg's words, if it cannot be decoded
     */
    VideoReader(Demuxer input) throws IOException {
        this.input = input;
        try {
            decoder = avcodec.avcodec_alloc_context3(input.codec());
            Demuxer.require(avcodec.avcodec_parameters_to_context(
                    decoder, input.stream().codecpar()));
            decoder.pkt_timebase(input.stream().time_base());
            decoder.thread_count(0); // as many as there are processors
            Demuxer.require(avcodec.avcodec_open2(decoder, input.codec(), (PointerPointer<?>) null));
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
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
        AVPacket packet = input.next();
        drained = packet == null;
        if (avcodec.avcodec_send_packet(opened, packet) < 0 && !drained) {
            damaged++;
        }
    }

    /** When a frame is shown, in microseconds of the stream's own clock; null where nothing says it. */
    @Nullable
    Long micros(AVFrame shown) {
        return input.micros(shown.best_effort_timestamp());
    }

    /** Whether the frames are high dynamic range, so that they are tone-mapped. */
    boolean hdr() {
        return PixelConverter.isHdr(input.stream().codecpar().color_trc());
    }

    /** Whether a frame so far was damaged. */
    boolean damaged() {
        return damaged > 0;
    }

    /** What is missing of a file or damaged, once the last frame was read; null for nothing. */
    @Nullable
    String damage() {
        return input.damage(frames, damaged);
    }

    @Override
    public void close() {
        if (decoder != null) {
            avcodec.avcodec_free_context(decoder);
            decoder = null;
        }
        input.close();
        avutil.av_frame_free(frame);
    }
}
