package io.upliftstream.sql;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.WireFormat;
import java.nio.ByteBuffer;

/** A frame as it stands in a column: a {@link CameraFrame} in either framing, or a bare image, of no known camera. */
@SuppressWarnings("ArrayRecordComponent") // never compared
record FrameValue(String cameraId, long sequence, long captureTimeMicros, CaptureClock captureClock, byte[] image) {
    private static final short AVRO = (short) 0xC301;

    /** @throws MalformedRecordException if the value starts as a record and is none */
    static FrameValue of(byte[] value, Records records) {
        boolean single = value.length >= Short.BYTES && ByteBuffer.wrap(value).getShort() == AVRO;
        if (!single && !WireFormat.is(value)) {
            return new FrameValue("", -1, 0, CaptureClock.UNKNOWN, value);
        }
        CameraFrame frame = records.decode(value, CameraFrame.class);
        byte[] image = new byte[frame.getImage().remaining()];
        frame.getImage().get(frame.getImage().position(), image);
        return new FrameValue(
                frame.getCameraId(), frame.getSequence(), frame.getCaptureTimeMicros(), frame.getCaptureClock(), image);
    }
}
