package io.upliftstream.job;

import io.upliftstream.job.FrameProblem.Reason;
import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.ForeignValue;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.schemas.WireFormat;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;

/**
 * Kafka records to frames. A value is a {@link CameraFrame} or a {@link VideoPacket} in Avro's single-object encoding or, where
 * there is a schema registry, in Confluent's wire format; or it is a bare JPEG, PNG or packet of a video ({@link
 * PacketParser}), and then the key is the camera id, the offset the sequence and the record's timestamp the time, where no
 * header says more. A camera id is cut to the length that {@link BoundedText} says. Safe for use by many threads.
 */
final class FrameParser {
    private static final byte[] AVRO = {(byte) 0xC3, 0x01};
    private static final byte[] JPEG = {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF};
    private static final byte[] PNG = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

    private final InputFormat format;
    private final long maxBytes;
    private final @Nullable RecordDecoder registered;
    private final Set<Integer> packetSchemas = ConcurrentHashMap.newKeySet();

    FrameParser(InputFormat format, long maxBytes) {
        this(format, maxBytes, null);
    }

    /** @param registered reads Confluent's wire format; null where there is no schema registry */
    FrameParser(InputFormat format, long maxBytes, @Nullable RecordDecoder registered) {
        this.registered = registered;
        this.format = format;
        this.maxBytes = maxBytes;
    }

    /**
     * Reads a record: an image, or a packet of a video.
     *
     * @throws FrameProblem if the record holds no frame
     */
    Frame parse(RawFrame source) throws FrameProblem {
        byte[] value = source.value();
        if (value == null || value.length == 0) {
            throw problem(Reason.EMPTY_VALUE, "value: empty (expected: an Avro CameraFrame, a JPEG or a PNG)");
        }
        if (value.length > maxBytes) {
            throw problem(
                    Reason.VALUE_TOO_LARGE, "value: %d bytes (expected: <= %d)".formatted(value.length, maxBytes));
        }
        if (isBareVideo(source)) {
            return PacketParser.bare(value, source, camera(source));
        }
        boolean avro = startsWith(value, AVRO) || inWireFormat(value);
        boolean image = startsWith(value, JPEG) || startsWith(value, PNG);
        if (avro && format != InputFormat.IMAGE) {
            return record(value, source);
        } else if (image && format != InputFormat.AVRO) {
            return bareImage(value, source);
        } else if (format == InputFormat.AUTO && AccessUnit.codec(value).isPresent()) {
            return PacketParser.bare(value, source, camera(source));
        }
        String found = avro ? "an Avro record" : image ? "a bare image" : ForeignValue.describe(value);
        String expected =
                switch (format) {
                    case AVRO -> "an Avro CameraFrame";
                    case IMAGE -> "a JPEG or a PNG";
                    default -> "an Avro CameraFrame, a JPEG or a PNG";
                };
        throw problem(Reason.NOT_A_FRAME, "value: %s (expected: %s)".formatted(found, expected));
    }

    /** Whether {@link #parse} reads the record with its writer's schema, which the registry has. */
    boolean needsSchema(byte[] value, RawFrame source) {
        return value.length <= maxBytes && format != InputFormat.IMAGE && !isBareVideo(source) && inWireFormat(value);
    }

    private boolean isBareVideo(RawFrame source) {
        return format == InputFormat.VIDEO || (format == InputFormat.AUTO && source.video() != null);
    }

    private boolean inWireFormat(byte[] value) {
        return registered != null && WireFormat.is(value);
    }

    private Frame record(byte[] value, RawFrame source) throws FrameProblem {
        try {
            SpecificRecord record = needsSchema(value, source) ? registered(value) : SingleObject.decode(value);
            if (record instanceof VideoPacket packet) {
                return PacketParser.packet(packet, source);
            } else if (record instanceof CameraFrame frame) {
                return cameraFrame(frame, source);
            }
            return cameraFrame(SingleObject.decode(value, CameraFrame.class), source); // says what is wrong
        } catch (MalformedRecordException e) {
            Reason reason = e.getCause() instanceof RegistryException ? Reason.NO_SCHEMA : Reason.MALFORMED_RECORD;
            FrameProblem problem = problem(reason, String.valueOf(e.getMessage()));
            problem.initCause(e);
            throw problem;
        }
    }

    /** The schema of an id is found to be one of packets once, by the first value that is no frame of an image. */
    private SpecificRecord registered(byte[] value) {
        RecordDecoder decoder = Objects.requireNonNull(registered);
        int id = WireFormat.id(value);
        if (packetSchemas.contains(id)) {
            return decoder.decode(value, VideoPacket.class);
        }
        try {
            return decoder.decode(value, CameraFrame.class);
        } catch (MalformedRecordException e) {
            if (e.getCause() instanceof RegistryException) {
                throw e;
            }
            try {
                VideoPacket packet = decoder.decode(value, VideoPacket.class);
                packetSchemas.add(id);
                return packet;
            } catch (MalformedRecordException neither) {
                throw e;
            }
        }
    }

    private static Frame cameraFrame(CameraFrame frame, RawFrame source) throws FrameProblem {
        return new Frame(
                camera(frame.getCameraId()),
                frame.getSequence(),
                frame.getCaptureTimeMicros(),
                frame.getCaptureClock(),
                array(frame.getImage()),
                trace(
                        source,
                        frame.getTraceparent().orElse(null),
                        frame.getTracestate().orElse(null)),
                source);
    }

    /** The camera id that a record states. */
    static String camera(String stated) throws FrameProblem {
        if (stated.isBlank()) {
            throw problem(Reason.MISSING_CAMERA_ID, "cameraId: empty (expected: the name of the camera)");
        }
        return BoundedText.id(stated);
    }

    /** The headers' context goes before the record's. */
    static TraceContext trace(RawFrame source, @Nullable String traceparent, @Nullable String tracestate) {
        return source.trace().traceparent() != null ? source.trace() : new TraceContext(traceparent, tracestate);
    }

    private static Frame bareImage(byte[] value, RawFrame source) throws FrameProblem {
        return new Frame(
                camera(source),
                source.offset(),
                source.timestampMillis() * 1000,
                CaptureClock.KAFKA,
                value,
                source.trace(),
                source);
    }

    private static String camera(RawFrame source) throws FrameProblem {
        String cameraId = BoundedText.decode(source.key());
        if (cameraId == null || cameraId.isBlank()) {
            throw problem(
                    Reason.MISSING_CAMERA_ID,
                    "key: %s (expected: the camera id, as text)"
                            .formatted(source.key() == null ? "none" : source.key().length + " bytes"));
        }
        return BoundedText.id(cameraId);
    }

    static byte[] array(ByteBuffer bytes) {
        if (bytes.hasArray() && bytes.arrayOffset() == 0 && bytes.remaining() == bytes.array().length) {
            return bytes.array();
        }
        byte[] array = new byte[bytes.remaining()];
        bytes.get(bytes.position(), array);
        return array;
    }

    private static boolean startsWith(byte[] value, byte[] magic) {
        return value.length >= magic.length && Arrays.equals(value, 0, magic.length, magic, 0, magic.length);
    }

    static FrameProblem problem(Reason reason, String message) {
        return new FrameProblem(Stage.PARSE, reason, message);
    }
}
