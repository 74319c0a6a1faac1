package io.upliftstream.tools.stream;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.upliftstream.job.VideoHeaders;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** What is on the job's input topic: camera frames, packets of video, and both alone. */
public final class CameraFrames {
    private CameraFrames() {}

    /**
     * The frame or packet in a record. Of what is alone in its record the camera is the key (without one
     * {@code partition-<number>}), and where headers of a packet do not say otherwise the sequence is the offset and the time
     * the record's.
     *
     * @param decoder of values in either framing
     * @return {@link CameraFrame} or {@link VideoPacket}
     * @throws MalformedRecordException if the value is neither, nor starts as a JPEG, PNG or video in Annex B does
     */
    public static SpecificRecord of(ConsumerRecord<byte[], byte[]> record, RecordDecoder decoder) {
        byte[] value = value(record);
        ByteBuffer image = ByteBuffer.wrap(value);
        Optional<String> header = header(record, VideoHeaders.CODEC);
        if (header.isPresent()) {
            return packet(record, codec(header.get()));
        } else if (isJpeg(image) || isPng(image)) {
            return CameraFrame.newBuilder()
                    .setCameraId(camera(record))
                    .setSequence(record.offset())
                    .setCaptureTimeMicros(record.timestamp() * 1000)
                    .setCaptureClock(CaptureClock.KAFKA)
                    .setImage(image)
                    .build();
        }
        Optional<Codec> codec = decoder.inWireFormat(value) ? Optional.empty() : AccessUnit.codec(value);
        if (codec.isPresent()) {
            return packet(record, codec.get());
        }
        try {
            return decoder.decode(value, CameraFrame.class);
        } catch (MalformedRecordException e) {
            try {
                return decoder.decode(value, VideoPacket.class);
            } catch (MalformedRecordException other) {
                e.addSuppressed(other);
                throw e;
            }
        }
    }

    private static String camera(ConsumerRecord<byte[], byte[]> record) {
        return record.key() == null ? "partition-" + record.partition() : new String(record.key(), UTF_8);
    }

    private static VideoPacket packet(ConsumerRecord<byte[], byte[]> record, Codec codec) {
        byte[] unit = value(record);
        Optional<Long> time = header(record, VideoHeaders.CAPTURE_TIME_MICROS).map(CameraFrames::number);
        return VideoPacket.newBuilder()
                .setCameraId(camera(record))
                .setSequence(header(record, VideoHeaders.SEQUENCE)
                        .map(CameraFrames::number)
                        .orElse(record.offset()))
                .setCaptureTimeMicros(time.orElse(record.timestamp() * 1000))
                .setCaptureClock(time.isPresent() ? CaptureClock.CAMERA : CaptureClock.KAFKA)
                .setCodec(VideoCodec.valueOf(codec.name()))
                .setKeyFrame(header(record, VideoHeaders.KEY_FRAME).stream().anyMatch("1"::equals)
                        || isKeyFrame(codec, unit))
                .setData(ByteBuffer.wrap(unit))
                .build();
    }

    private static Optional<String> header(ConsumerRecord<byte[], byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null || header.value() == null
                ? Optional.empty()
                : Optional.of(new String(header.value(), US_ASCII));
    }

    private static Codec codec(String name) {
        return switch (name) {
            case "h264" -> Codec.H264;
            case "h265" -> Codec.H265;
            case "av1" -> Codec.AV1;
            default ->
                throw new MalformedRecordException(
                        "header %s: %s (expected: h264, h265 or av1)".formatted(VideoHeaders.CODEC, name));
        };
    }

    private static long number(String text) {
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new MalformedRecordException("header of a packet: %s (expected: a whole number)".formatted(text));
        }
    }

    /** Whether decoding can start with a packet: it says so, or its bytes do. */
    static boolean isKeyFrame(VideoPacket packet) {
        return packet.getKeyFrame() || isKeyFrame(codec(packet), bytes(packet.getData()));
    }

    private static boolean isKeyFrame(Codec codec, byte[] data) {
        AccessUnit unit = AccessUnit.of(codec, data);
        return unit.clean() || unit.open();
    }

    /**
     * The codec as decoders know it.
     *
     * @throws MalformedRecordException if it is one of a later version
     */
    static Codec codec(VideoPacket packet) {
        if (packet.getCodec() == VideoCodec.UNKNOWN) {
            throw new MalformedRecordException("codec: one that is not known here (expected: H264, H265 or AV1)");
        }
        return Codec.valueOf(packet.getCodec().name());
    }

    /** A packet's access unit, behind its parameter sets where it does not hold them. */
    public static byte[] unit(VideoPacket packet) {
        byte[] sets = bytes(packet.getParameterSets().orElse(ByteBuffer.allocate(0)));
        byte[] data = bytes(packet.getData());
        byte[] unit = Arrays.copyOf(sets, sets.length + data.length);
        System.arraycopy(data, 0, unit, sets.length, data.length);
        return unit;
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(buffer.position(), bytes);
        return bytes;
    }

    /** The value of a record; empty for one without (a tombstone), which no reader of values takes for a record. */
    static byte[] value(ConsumerRecord<byte[], byte[]> record) {
        return record.value() == null ? new byte[0] : record.value();
    }

    /** The image's bytes, JPEG or PNG. */
    public static byte[] image(CameraFrame frame) {
        return bytes(frame.getImage());
    }

    private static boolean isJpeg(ByteBuffer image) {
        return image.remaining() > 2 && image.getShort(image.position()) == (short) 0xFFD8;
    }

    /** Whether an image is a PNG by its first bytes. */
    static boolean isPng(ByteBuffer image) {
        return image.remaining() > 8 && image.getInt(image.position()) == 0x89504E47;
    }
}
