package io.upliftstream.tools.stream;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.upliftstream.job.Framing;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.VideoHeaders;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Shot;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.jspecify.annotations.Nullable;

/** Makes records of the job's input topic: {@link CameraFrame} and {@link VideoPacket}, or images and packets alone. */
public final class InputRecords {
    private final String topic;
    private final @Nullable Framing framing;

    /**
     * @param types of the records, for a schema registry
     * @param bare whether images and packets are sent alone, with what is said of packets in headers
     */
    InputRecords(JobSettings settings, Set<Class<? extends SpecificRecord>> types, boolean bare) {
        topic = settings.get(InputOptions.INPUT_TOPIC);
        framing = bare ? null : Framing.of(settings, Map.of(topic, types));
    }

    ProducerRecord<String, byte[]> of(
            @Nullable Integer partition, String camera, long sequence, Shot shot, Instant capture) {
        long micros = ChronoUnit.MICROS.between(Instant.EPOCH, capture);
        if (framing != null) {
            return new ProducerRecord<>(
                    topic, partition, camera, framing.encode(topic, record(camera, sequence, shot, micros)));
        }
        ProducerRecord<String, byte[]> record = new ProducerRecord<>(topic, partition, camera, shot.image());
        if (shot.isPacket()) {
            add(record.headers(), VideoHeaders.CODEC, shot.format());
            add(record.headers(), VideoHeaders.KEY_FRAME, shot.key() ? "1" : "0");
            add(record.headers(), VideoHeaders.CAPTURE_TIME_MICROS, Long.toString(micros));
            add(record.headers(), VideoHeaders.SEQUENCE, Long.toString(sequence));
        }
        return record;
    }

    private static void add(Headers headers, String name, String value) {
        headers.add(name, value.getBytes(US_ASCII));
    }

    /** The record of an image or a packet of video that was taken at a time, in microseconds since 1970. */
    public static SpecificRecord record(String camera, long sequence, Shot shot, long micros) {
        return shot.isPacket() ? packet(camera, sequence, shot, micros) : frame(camera, sequence, shot, micros);
    }

    private static SpecificRecord frame(String camera, long sequence, Shot shot, long micros) {
        return CameraFrame.newBuilder()
                .setCameraId(camera)
                .setSequence(sequence)
                .setCaptureTimeMicros(micros)
                .setCaptureClock(CaptureClock.PUBLISHER)
                .setImage(ByteBuffer.wrap(shot.image()))
                .setImageFormat(shot.format())
                .build();
    }

    private static SpecificRecord packet(String camera, long sequence, Shot shot, long micros) {
        return VideoPacket.newBuilder()
                .setCameraId(camera)
                .setSequence(sequence)
                .setCaptureTimeMicros(micros)
                .setCaptureClock(CaptureClock.PUBLISHER)
                .setCodec(VideoCodec.valueOf(shot.format().toUpperCase(Locale.ROOT)))
                .setKeyFrame(shot.key())
                .setData(ByteBuffer.wrap(shot.image()))
                .build();
    }
}
