package io.upliftstream.tools.camera;

import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.model.video.AccessUnit.Codec;
import java.awt.Dimension;
import java.io.IOException;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.bytedeco.ffmpeg.avcodec.AVBSFContext;
import org.bytedeco.ffmpeg.avcodec.AVCodecParameters;
import org.bytedeco.ffmpeg.avcodec.AVPacket;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.javacpp.BytePointer;
import org.jspecify.annotations.Nullable;

/**
 * A video file, a network stream or a webcam as a camera whose packets stay as they were encoded: H.264 and H.265 in
 * Annex B, AV1 as it is stored, each key frame with its parameter sets. It begins with the first key frame.
 */
public final class PacketCamera implements Camera {
    /** Times further apart are those of two clocks. */
    private static final long LEAP_MICROS = 10_000_000;

    private final String id;
    private final String shown;
    private final Demuxer input;
    private final Codec codec;
    private final boolean live;
    private final AVBSFContext filter = new AVBSFContext(null);
    private final AVPacket filtered;
    private final List<String> notes = new ArrayList<>();
    private byte[] parameterSets;
    private int next;
    private int before;
    private boolean ended;
    /** What is taken from the stream's clock; null before the first packet. */
    private @Nullable Long origin;

    private long last;

    /**
     * Opens a video.
     *
     * @param source a file, a URL or a device such as {@code /dev/video0}; what exists as a file is one
     * @throws IOException if FFmpeg finds no packets of these codecs there
     */
    public PacketCamera(String id, String source) throws IOException {
        this.id = id;
        shown = Demuxer.shown(source);
        input = Demuxer.require(source, true);
        filtered = avcodec.av_packet_alloc();
        live = input.live(source);
        AVCodecParameters parameters = input.stream().codecpar();
        try {
            codec = codec(parameters.codec_id());
            String name =
                    switch (codec) {
                        case H264 -> "h264_mp4toannexb";
                        case H265 -> "hevc_mp4toannexb";
                        default -> "null";
                    };
            Demuxer.require(avcodec.av_bsf_alloc(avcodec.av_bsf_get_by_name(name), filter));
            avcodec.avcodec_parameters_copy(filter.par_in(), parameters);
            filter.time_base_in(input.stream().time_base());
            Demuxer.require(avcodec.av_bsf_init(filter));
            byte[] extra = bytes(filter.par_out().extradata(), filter.par_out().extradata_size());
            int header = codec == Codec.AV1 ? 4 : 0; // av1C begins with four bytes of its own
            parameterSets = extra.length > header ? Arrays.copyOfRange(extra, header, extra.length) : new byte[0];
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
    }

    /** Width and height of its pictures as they are encoded, which is not always upright; pixels. */
    public Dimension size() {
        AVCodecParameters parameters = input.stream().codecpar();
        return new Dimension(parameters.width(), parameters.height());
    }

    private Codec codec(int codec) throws IOException {
        if (codec == avcodec.AV_CODEC_ID_H264) {
            return Codec.H264;
        } else if (codec == avcodec.AV_CODEC_ID_HEVC) {
            return Codec.H265;
        } else if (codec == avcodec.AV_CODEC_ID_AV1) {
            return Codec.AV1;
        }
        throw new IOException(
                "input: %s is %s (expected with --packets: H.264, H.265 or AV1; --encode h264 makes H.264 of others)"
                        .formatted(shown, avcodec.avcodec_get_name(codec).getString()));
    }

    @Override
    public String id() {
        return id;
    }

    @Override
    public double framesPerSecond() {
        return input.framesPerSecond();
    }

    @Override
    public boolean packets() {
        return true;
    }

    @Override
    public boolean live() {
        return live;
    }

    @Override
    public @Nullable Shot next() throws IOException {
        while (!ended) {
            AVPacket packet = input.next();
            if (packet == null) {
                return end();
            }
            if (avcodec.av_bsf_send_packet(filter, packet) < 0 || avcodec.av_bsf_receive_packet(filter, filtered) < 0) {
                throw new UnreadableShotException("packet %d of %s cannot be read".formatted(next + before, shown));
            }
            boolean key = (filtered.flags() & avcodec.AV_PKT_FLAG_KEY) != 0;
            byte[] data = bytes(filtered.data(), filtered.size());
            Long micros = input.micros(filtered.pts());
            avcodec.av_packet_unref(filtered);
            byte[] own = AccessUnit.of(codec, data).parameterSets();
            parameterSets = own.length == 0 ? parameterSets : own;
            if (next == 0 && !key) {
                before++;
                continue;
            }
            if (next == 0 && before > 0) {
                notes.add("input: %s begins with %d packets that need a key frame before them; they are left out"
                        .formatted(shown, before));
            }
            byte[] complete = key && own.length == 0 ? join(parameterSets, data) : data;
            String name = "%s_%06d".formatted(id, next);
            Duration position = Duration.of(position(micros), ChronoUnit.MICROS);
            next++;
            return new Shot(name, complete, codec.name().toLowerCase(Locale.ROOT), position, key, null);
        }
        return null;
    }

    /** Since the first picture; a time that does not go on from those before is one frame after the last. */
    private long position(@Nullable Long micros) {
        long following = last + Math.round(1e6 / framesPerSecond());
        if (origin == null) {
            origin = micros == null ? 0 : micros;
            return 0;
        }
        if (micros == null) {
            last = following;
            return following;
        }
        if (Math.abs(micros - origin - last) > LEAP_MICROS) {
            notes.add("input: the clock of %s leaps at packet %d; from there on it goes on one frame later"
                    .formatted(shown, next));
            origin = micros - following;
        }
        last = Math.max(last, micros - origin);
        return micros - origin;
    }

    private @Nullable Shot end() throws IOException {
        ended = true;
        if (live) {
            throw new IOException(
                    "input: %s broke off after packet %d (expected: packets without end; --loop opens it again)"
                            .formatted(shown, next));
        }
        String damage = next == 0 ? "no key frame in %d packets".formatted(before) : input.damage(next + before, 0);
        if (damage != null) {
            throw new UnreadableShotException("input: %s is not whole: %s".formatted(shown, damage));
        }
        return null;
    }

    private static byte[] bytes(@Nullable BytePointer data, long size) {
        byte[] bytes = new byte[data == null ? 0 : Math.toIntExact(size)];
        if (data != null) {
            data.get(bytes);
        }
        return bytes;
    }

    private static byte[] join(byte[] first, byte[] second) {
        byte[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    @Override
    public List<String> notes() {
        List<String> taken = List.copyOf(notes);
        notes.clear();
        return taken;
    }

    @Override
    public void close() {
        input.close();
        if (!filter.isNull()) {
            avcodec.av_bsf_free(filter);
        }
        avcodec.av_packet_free(filtered);
    }
}
