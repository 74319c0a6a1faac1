package io.upliftstream.job;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.Objects;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;

/**
 * What the headers of a Kafka record say of the bare packet in it, as text; docs/packets.md names them.
 *
 * @param keyFrame null where there is no such header, or an empty one, as the following
 */
public record VideoHeaders(
        String codec, @Nullable String keyFrame, @Nullable String captureTimeMicros, @Nullable String sequence) {
    public static final String CODEC = "video-codec";
    public static final String KEY_FRAME = "video-key-frame";
    public static final String CAPTURE_TIME_MICROS = "video-capture-time-micros";
    public static final String SEQUENCE = "video-sequence";

    /** No number and no name of a codec is longer. */
    private static final int MAX_LENGTH = 32;

    /** The headers of a record; null where they name no codec, as those of an image. */
    static @Nullable VideoHeaders of(ConsumerRecord<?, ?> record) {
        String codec = text(record, CODEC);
        return codec == null
                ? null
                : new VideoHeaders(
                        codec, text(record, KEY_FRAME), text(record, CAPTURE_TIME_MICROS), text(record, SEQUENCE));
    }

    private static @Nullable String text(ConsumerRecord<?, ?> record, String name) {
        String text = RawFrame.header(record, name);
        return text == null || text.isEmpty() ? null : BoundedText.start(text, MAX_LENGTH);
    }

    void write(DataOutput target) throws IOException {
        target.writeUTF(codec);
        for (String text : new String[] {keyFrame, captureTimeMicros, sequence}) {
            target.writeUTF(Objects.requireNonNullElse(text, ""));
        }
    }

    static VideoHeaders read(DataInput source) throws IOException {
        return new VideoHeaders(source.readUTF(), readText(source), readText(source), readText(source));
    }

    private static @Nullable String readText(DataInput source) throws IOException {
        String text = source.readUTF();
        return text.isEmpty() ? null : text;
    }
}
