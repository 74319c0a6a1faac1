package io.upliftstream.job;

import io.upliftstream.model.Picture;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.schemas.CaptureClock;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One frame of one camera: an encoded image, a packet of a video, or the picture that was decoded of a packet.
 *
 * @param sequence number of the frame at its camera; for a bare image the offset of its Kafka record
 * @param captureTimeMicros since 1970-01-01T00:00:00Z
 * @param image JPEG or PNG, or the packet's data; empty for a picture; nobody changes it
 * @param source the Kafka record that held the frame; of a picture without the record's value
 * @param packet null for an image
 * @param picture null for what is still encoded
 * @param digest of the record's value, of a packet or picture that is without it; null for others
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Frame(
        String cameraId,
        long sequence,
        long captureTimeMicros,
        CaptureClock captureClock,
        byte[] image,
        TraceContext trace,
        RawFrame source,
        @Nullable Packet packet,
        @Nullable Picture picture,
        @Nullable Digest digest) {
    /** What a failure record says of the value of a Kafka record, in bytes and 64 hexadecimal digits. */
    record Digest(int length, String sha256) {
        static Digest of(byte[] value) {
            return new Digest(value.length, BoundedText.sha256(value));
        }
    }

    /**
     * What a packet says of itself.
     *
     * @param clean whether decoding can start there, and all that is shown from there on can be decoded
     * @param key whether decoding can start there at all
     * @param picture whether there is (a part of) a picture in it
     * @param counted whether its sequence grows by one from packet to packet
     * @param parameterSets of the data, or that came beside them; null for none
     * @param complete whether the parameter sets are in the data
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Packet(
            AccessUnit.Codec codec,
            boolean clean,
            boolean key,
            boolean picture,
            boolean counted,
            byte @Nullable [] parameterSets,
            boolean complete) {
        Packet {
            key |= clean;
        }
    }

    private static final byte[] NONE = {};

    /** An image. */
    Frame(
            String cameraId,
            long sequence,
            long captureTimeMicros,
            CaptureClock captureClock,
            byte[] image,
            TraceContext trace,
            RawFrame source) {
        this(cameraId, sequence, captureTimeMicros, captureClock, image, trace, source, null, null, null);
    }

    /** The same without image and pixels: an account of it needs no more. */
    Frame withoutImage() {
        return with(null);
    }

    /** A packet without its data, which says of the record's value how long it was, and its hash. */
    Frame withDigest() {
        return with(null, Digest.of(Objects.requireNonNull(source.value())));
    }

    /** The picture of this packet. */
    Frame with(@Nullable Picture decoded) {
        return with(decoded, digest);
    }

    private Frame with(@Nullable Picture decoded, @Nullable Digest known) {
        return new Frame(
                cameraId,
                sequence,
                captureTimeMicros,
                captureClock,
                NONE,
                trace,
                source.withoutValue(),
                null,
                decoded,
                known);
    }
}
