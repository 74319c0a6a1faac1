package io.upliftstream.tools.camera;

import io.upliftstream.model.video.PixelConverter;
import io.upliftstream.schemas.VideoCodec;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongPredicate;
import org.bytedeco.ffmpeg.avcodec.AVCodec;
import org.bytedeco.ffmpeg.avcodec.AVCodecContext;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacpp.PointerPointer;

/** Decodes one camera's packets to pictures, in their own colours; for a thread at a time. */
public final class PacketDecoder implements AutoCloseable {
    private static final JpegFormat OWN_SIZE = JpegFormat.of(1);

    private final AVCodecContext decoder;
    private final AVPacket packet = avcodec.av_packet_alloc();
    private final AVFrame frame = avutil.av_frame_alloc();
    private final UprightConverter converter = new UprightConverter();

    /** Begins a stream. */
    public PacketDecoder(VideoCodec codec) throws IOException {
        avutil.av_log_set_level(avutil.AV_LOG_QUIET);
        AVCodec found =
                switch (codec) {
                    case H264 -> avcodec.avcodec_find_decoder(avcodec.AV_CODEC_ID_H264);
                    case H265 -> avcodec.avcodec_find_decoder(avcodec.AV_CODEC_ID_HEVC);
                    default -> avcodec.avcodec_find_decoder_by_name("libaom-av1");
                };
        decoder = avcodec.avcodec_alloc_context3(found);
        decoder.thread_count(1);
        if (found == null || avcodec.avcodec_open2(decoder, found, (PointerPointer<?>) null) < 0) {
            close();
            throw new IOException("no decoder for " + codec);
        }
    }

    /**
     * Takes the next access unit.
     *
     * @param number of its picture
     * @param wanted which pictures are converted
     * @return pictures that are complete with it, by their number; what is damaged gives none
     */
    public Map<Long, BufferedImage> decode(byte[] unit, long number, LongPredicate wanted) throws IOException {
        Map<Long, BufferedImage> pictures = new TreeMap<>();
        if (avcodec.av_new_packet(packet, unit.length) < 0) {
            throw new IOException("no memory for a packet of %d bytes".formatted(unit.length));
        }
        packet.data().put(unit, 0, unit.length);
        packet.pts(number);
        int unused = avcodec.avcodec_send_packet(decoder, packet);
        avcodec.av_packet_unref(packet);
        take(pictures, wanted);
        return pictures;
    }

    /** The pictures that wait inside; the next unit begins the stream anew. */
    public Map<Long, BufferedImage> flush(LongPredicate wanted) throws IOException {
        Map<Long, BufferedImage> pictures = new TreeMap<>();
        int unused = avcodec.avcodec_send_packet(decoder, null);
        take(pictures, wanted);
        avcodec.avcodec_flush_buffers(decoder);
        return pictures;
    }

    private void take(Map<Long, BufferedImage> pictures, LongPredicate wanted) throws IOException {
        while (avcodec.avcodec_receive_frame(decoder, frame) >= 0) {
            if (wanted.test(frame.pts())) {
                pictures.put(frame.pts(), converter.convert(frame, PixelConverter.orientation(frame), OWN_SIZE));
            }
        }
    }

    @Override
    public void close() {
        avcodec.avcodec_free_context(decoder);
        avcodec.av_packet_free(packet);
        avutil.av_frame_free(frame);
        converter.close();
    }
}
