package io.upliftstream.job;

import io.upliftstream.job.FrameProblem.Reason;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.VideoPacket;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Packets of videos, as frames that are still to be decoded; docs/packets.md has the layout of a bare one. */
final class PacketParser {
    /** A checkpoint holds those of every camera. */
    private static final int MAX_PARAMETER_SETS = 64 << 10;

    private PacketParser() {}

    static Frame packet(VideoPacket packet, RawFrame source) throws FrameProblem {
        String cameraId = FrameParser.camera(packet.getCameraId());
        AccessUnit.Codec codec =
                switch (packet.getCodec()) {
                    case H264 -> AccessUnit.Codec.H264;
                    case H265 -> AccessUnit.Codec.H265;
                    case AV1 -> AccessUnit.Codec.AV1;
                    case UNKNOWN ->
                        throw FrameParser.problem(
                                Reason.NOT_A_FRAME, "codec: one that is not known here (expected: H264, H265 or AV1)");
                };
        byte[] data = FrameParser.array(packet.getData());
        return new Frame(
                cameraId,
                packet.getSequence(),
                packet.getCaptureTimeMicros(),
                packet.getCaptureClock(),
                data,
                FrameParser.trace(
                        source,
                        packet.getTraceparent().orElse(null),
                        packet.getTracestate().orElse(null)),
                source,
                described(
                        codec,
                        data,
                        packet.getKeyFrame(),
                        true,
                        packet.getParameterSets().map(FrameParser::array).orElse(null)),
                null,
                null);
    }

    static Frame bare(byte[] value, RawFrame source, String cameraId) throws FrameProblem {
        VideoHeaders headers = source.video();
        AccessUnit.Codec codec = headers == null
                ? AccessUnit.codec(value)
                        .orElseThrow(() -> FrameParser.problem(
                                Reason.NOT_A_FRAME,
                                "value: no header %s, and it does not begin as H.264 or H.265 does (expected: one of them)"
                                        .formatted(VideoHeaders.CODEC)))
                : codec(headers.codec());
        Long sequence = headers == null ? null : number(VideoHeaders.SEQUENCE, headers.sequence());
        Long time = headers == null ? null : number(VideoHeaders.CAPTURE_TIME_MICROS, headers.captureTimeMicros());
        return new Frame(
                cameraId,
                sequence == null ? source.offset() : sequence,
                time == null ? source.timestampMillis() * 1000 : time,
                time == null ? CaptureClock.KAFKA : CaptureClock.CAMERA,
                value,
                source.trace(),
                source,
                described(codec, value, headers != null && "1".equals(headers.keyFrame()), sequence != null, null),
                null,
                null);
    }

    private static Frame.Packet described(
            AccessUnit.Codec codec, byte[] data, boolean keyFrame, boolean counted, byte @Nullable [] sets)
            throws FrameProblem {
        AccessUnit unit = AccessUnit.of(codec, data);
        boolean complete = unit.parameterSets().length > 0;
        byte[] stated = complete ? unit.parameterSets() : sets;
        if (stated != null && stated.length > MAX_PARAMETER_SETS) {
            throw FrameParser.problem(
                    Reason.VALUE_TOO_LARGE,
                    "parameter sets: %d bytes (expected: <= %d)".formatted(stated.length, MAX_PARAMETER_SETS));
        }
        return new Frame.Packet(
                codec,
                unit.clean() || (codec == AccessUnit.Codec.AV1 && keyFrame),
                unit.open() || keyFrame,
                unit.picture(),
                counted,
                stated,
                complete);
    }

    private static AccessUnit.Codec codec(String name) throws FrameProblem {
        return Arrays.stream(AccessUnit.Codec.values())
                .filter(codec -> codec.name().toLowerCase(Locale.ROOT).equals(name))
                .findFirst()
                .orElseThrow(() -> FrameParser.problem(
                        Reason.NOT_A_FRAME,
                        "header %s: %s (expected: h264, h265 or av1)".formatted(VideoHeaders.CODEC, name)));
    }

    private static @Nullable Long number(String header, @Nullable String text) throws FrameProblem {
        try {
            return text == null ? null : Long.valueOf(text);
        } catch (NumberFormatException e) {
            throw FrameParser.problem(
                    Reason.MALFORMED_RECORD, "header %s: %s (expected: a decimal number)".formatted(header, text));
        }
    }
}
