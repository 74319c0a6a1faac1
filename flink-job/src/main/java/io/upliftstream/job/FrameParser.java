package io.upliftstream.job;

import io.upliftstream.job.FrameProblem.Reason;
import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.ForeignValue;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RegistryException;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.WireFormat;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Kafka records to frames. A value is a {@link CameraFrame} in Avro's single-object encoding or, where there is a schema
 * registry, in Confluent's wire format; or it is a bare JPEG or PNG, and then the key is the camera id, the offset the
 * sequence and the record's timestamp the time. A camera id is cut to the length that {@link BoundedText} says.
 */
final class FrameParser {
    private static final byte[] AVRO = {(byte) 0xC3, 0x01};
    private static final byte[] JPEG = {(byte) 0xFF, (byte) 0xD8, (byte) 0xFF};
    private static final byte[] PNG = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

    private final InputFormat format;
    private final long maxBytes;
    private final @Nullable RecordDecoder registered;

    FrameParser(InputFormat format, long maxBytes) {
        this(format, maxBytes, null);
    }

    /** @param registered reads Confluent's wire format; null where there is no schema registry */
    FrameParser(InputFormat format, long maxBytes, @Nullable RecordDecoder registered) {
        this.registered = registered;
        this.format = format;
        this.maxBytes = maxBytes;
    }

    /** @throws FrameProblem if the record holds no frame */
    Frame parse(RawFrame source) throws FrameProblem {
        byte[] value = source.value();
        if (value == null || value.length == 0) {
            throw problem(Reason.EMPTY_VALUE, "value: empty (expected: an Avro CameraFrame, a JPEG or a PNG)");
        }
        if (value.length > maxBytes) {
            throw problem(
                    Reason.VALUE_TOO_LARGE, "value: %d bytes (expected: <= %d)".formatted(value.length, maxBytes));
        }
        boolean avro = startsWith(value, AVRO) || (registered != null && WireFormat.is(value));
        boolean image = startsWith(value, JPEG) || startsWith(value, PNG);
        if (avro && format != InputFormat.IMAGE) {
            return cameraFrame(value, source);
        } else if (image && format != InputFormat.AVRO) {
            return bareImage(value, source);
        }
        String found = avro ? "an Avro record" : image ? "a bare image" : ForeignValue.describe(value);
        String expected =
                switch (format) {
                    case AUTO -> "an Avro CameraFrame, a JPEG or a PNG";
                    case AVRO -> "an Avro CameraFrame";
                    case IMAGE -> "a JPEG or a PNG";
                };
        throw problem(Reason.NOT_A_FRAME, "value: %s (expected: %s)".formatted(found, expected));
    }

    private Frame cameraFrame(byte[] value, RawFrame source) throws FrameProblem {
        CameraFrame frame;
        try {
            frame = registered == null
                    ? SingleObject.decode(value, CameraFrame.class)
                    : registered.decode(value, CameraFrame.class);
        } catch (MalformedRecordException e) {
            Reason reason = e.getCause() instanceof RegistryException ? Reason.NO_SCHEMA : Reason.MALFORMED_RECORD;
            throw problem(reason, String.valueOf(e.getMessage()));
        }
        if (frame.getCameraId().isBlank()) {
            throw problem(Reason.MISSING_CAMERA_ID, "cameraId: empty (expected: the name of the camera)");
        }
        TraceContext trace = source.trace().traceparent() != null
                ? source.trace()
                : new TraceContext(
                        frame.getTraceparent().orElse(null),
                        frame.getTracestate().orElse(null));
        return new Frame(
                BoundedText.id(frame.getCameraId()),
                frame.getSequence(),
                frame.getCaptureTimeMicros(),
                frame.getCaptureClock(),
                array(frame.getImage()),
                trace,
                source);
    }

    private static Frame bareImage(byte[] value, RawFrame source) throws FrameProblem {
        String cameraId = BoundedText.decode(source.key());
        if (cameraId == null || cameraId.isBlank()) {
            throw problem(
                    Reason.MISSING_CAMERA_ID,
                    "key: %s (expected: the camera id, as text)"
                            .formatted(source.key() == null ? "none" : source.key().length + " bytes"));
        }
        return new Frame(
                BoundedText.id(cameraId),
                source.offset(),
                source.timestampMillis() * 1000,
                CaptureClock.KAFKA,
                value,
                source.trace(),
                source);
    }

    private static byte[] array(ByteBuffer bytes) {
        if (bytes.hasArray() && bytes.arrayOffset() == 0 && bytes.remaining() == bytes.array().length) {
            return bytes.array();
        }
        byte[] array = new byte[bytes.remaining()];
        bytes.get(bytes.position(), array);
        return array;
    }

    private static boolean startsWith(byte[] value, byte[] magic) {
        return value.length >= magic.length && Arrays.mismatch(magic, Arrays.copyOf(value, magic.length)) < 0;
    }

    private static FrameProblem problem(Reason reason, String message) {
        return new FrameProblem(Stage.PARSE, reason, message);
    }
}
