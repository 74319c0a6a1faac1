package io.upliftstream.tools.stream;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import java.nio.ByteBuffer;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** What is on the job's input topic: camera frames, and bare images as frames. */
public final class CameraFrames {
    private CameraFrames() {}

    /**
     * The frame in a record. A bare image's camera is the key (without one {@code partition-<number>}), its sequence the
     * offset and its time the record's.
     *
     * @param decoder of values in either framing
     * @throws MalformedRecordException if the value is neither a frame nor starts as a JPEG or PNG does
     */
    public static CameraFrame of(ConsumerRecord<byte[], byte[]> record, RecordDecoder decoder) {
        byte[] value = value(record);
        ByteBuffer image = ByteBuffer.wrap(value);
        if (!isJpeg(image) && !isPng(image)) {
            return decoder.decode(value, CameraFrame.class);
        }
        return CameraFrame.newBuilder()
                .setCameraId(record.key() == null ? "partition-" + record.partition() : new String(record.key(), UTF_8))
                .setSequence(record.offset())
                .setCaptureTimeMicros(record.timestamp() * 1000)
                .setCaptureClock(CaptureClock.KAFKA)
                .setImage(image)
                .build();
    }

    /** The value of a record; empty for one without (a tombstone), which no reader of values takes for a record. */
    static byte[] value(ConsumerRecord<byte[], byte[]> record) {
        return record.value() == null ? new byte[0] : record.value();
    }

    /** The image's bytes, JPEG or PNG. */
    public static byte[] image(CameraFrame frame) {
        byte[] bytes = new byte[frame.getImage().remaining()];
        frame.getImage().get(frame.getImage().position(), bytes);
        return bytes;
    }

    private static boolean isJpeg(ByteBuffer image) {
        return image.remaining() > 2 && image.getShort(image.position()) == (short) 0xFFD8;
    }

    /** Whether an image is a PNG by its first bytes. */
    static boolean isPng(ByteBuffer image) {
        return image.remaining() > 8 && image.getInt(image.position()) == 0x89504E47;
    }
}
