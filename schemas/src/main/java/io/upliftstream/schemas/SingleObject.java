package io.upliftstream.schemas;

import static java.util.Objects.requireNonNullElse;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DatumReader;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * Records to bytes and back, in Avro's single-object encoding: C3 01, the writer's schema as its CRC-64-AVRO fingerprint
 * (8 bytes, little-endian), then the record.
 *
 * <pre>{@code
 * SegmentationRecord record = SingleObject.decode(value, SegmentationRecord.class);
 * byte[] labels = MaskCodec.decode(record.getMask());
 * }</pre>
 *
 * <p>Every published version of a record's schema can be read; see docs/schemas.md. Safe for use by many threads.
 */
@NullMarked
public final class SingleObject {
    /** Published versions of the schemas; each is a folder v1, v2, … of the resources beside this class. */
    static final int VERSIONS = 2;

    static final List<Class<? extends SpecificRecord>> RECORDS = List.of(
            CameraFrame.class,
            VideoPacket.class,
            SegmentationRecord.class,
            FeatureRecord.class,
            FrameFailure.class,
            FrameDropped.class,
            ModelCommand.class,
            ModelAnswer.class);

    static final int HEADER_BYTES = 10;

    private static final HexFormat HEX = HexFormat.of();
    private static final short MARKER = (short) 0xC301;

    private static final Map<Class<?>, Codec> CODECS = new HashMap<>();

    static {
        RECORDS.forEach(type -> CODECS.put(type, new Codec(type)));
    }

    private SingleObject() {}

    /**
     * Encodes one of the module's records.
     *
     * @throws IllegalArgumentException if the class is not one of them
     */
    public static byte[] encode(SpecificRecord record) {
        ByteBuffer bytes = borrow(record);
        int start = bytes.arrayOffset() + bytes.position();
        return Arrays.copyOfRange(bytes.array(), start, start + bytes.remaining());
    }

    /** The same bytes, valid until this thread encodes again. */
    static ByteBuffer borrow(SpecificRecord record) {
        try {
            return codec(record.getClass()).encoder.encode(record);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Decodes a record that was written with any published version of its schema.
     *
     * @param bytes the value of a Kafka record; null for one without a value (a tombstone), which is refused
     * @throws MalformedRecordException if the bytes are not such a record, whole and alone
     * @throws IllegalArgumentException if the class is not one of the module's records
     */
    public static <T extends SpecificRecord> T decode(byte @Nullable [] bytes, Class<T> type) {
        Codec codec = codec(type);
        if (bytes == null) {
            throw new MalformedRecordException(
                    type.getSimpleName() + ": no bytes (expected: c301 and a schema fingerprint)");
        }
        if (bytes.length < HEADER_BYTES || ByteBuffer.wrap(bytes).getShort() != MARKER) {
            String start = bytes.length == 0 ? "nothing" : HEX.formatHex(bytes, 0, Math.min(2, bytes.length));
            throw new MalformedRecordException(
                    "%s: %d bytes that start with %s (expected: c301 and a schema fingerprint)"
                            .formatted(type.getSimpleName(), bytes.length, start));
        }
        long fingerprint = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(2);
        DatumReader<?> reader = codec.readers.get(fingerprint);
        if (reader == null) {
            throw new MalformedRecordException("schema fingerprint: %s%s (expected: a published version of %s)"
                    .formatted(HEX.formatHex(bytes, 2, HEADER_BYTES), owner(fingerprint), type.getSimpleName()));
        }
        return read(reader, bytes, HEADER_BYTES, type);
    }

    /** One record, whole and alone, behind a header of so many bytes. */
    static <T extends SpecificRecord> T read(DatumReader<?> reader, byte[] bytes, int header, Class<T> type) {
        // Over the array, so that the decoder refuses lengths beyond its end: Avro's own message decoder reads a stream
        // and would allocate whatever a length claims.
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(bytes, header, bytes.length - header, null);
        T record;
        boolean complete;
        try {
            record = type.cast(reader.read(null, decoder));
            complete = decoder.isEnd();
        } catch (IOException | RuntimeException e) {
            // Damaged bytes make Avro throw nearly anything.
            throw new MalformedRecordException(
                    "%s: %d bytes that are no such record: %s (expected: what its schema says)"
                            .formatted(
                                    type.getSimpleName(),
                                    bytes.length,
                                    requireNonNullElse(e.getMessage(), "they end early")),
                    e);
        }
        if (!complete) {
            throw new MalformedRecordException(
                    "%s: %d bytes (expected: no bytes after the record)".formatted(type.getSimpleName(), bytes.length));
        }
        return record;
    }

    /**
     * As {@link #decode(byte[], Class)}, with what the record only refers to put in its place.
     *
     * @param store of the job's claim check
     * @throws MalformedRecordException also if a payload cannot be had, with the {@link IOException} as its cause, or is
     *     not the one that the record names
     */
    public static <T extends SpecificRecord> T decode(byte @Nullable [] bytes, Class<T> type, PayloadStore store) {
        T record = decode(bytes, type);
        long unused = Payloads.fetch(record, store);
        return record;
    }

    /**
     * Decodes whichever of the module's records the bytes are.
     *
     * @throws MalformedRecordException if they are none of them, whole and alone
     */
    public static SpecificRecord decode(byte @Nullable [] bytes) {
        long fingerprint = bytes == null || bytes.length < HEADER_BYTES
                ? 0
                : ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong(2);
        for (Class<? extends SpecificRecord> type : RECORDS) {
            if (codec(type).readers.containsKey(fingerprint)) {
                return decode(bytes, type);
            }
        }
        return decode(bytes, CameraFrame.class); // which says what is wrong
    }

    /** The newest published schema of a record, complete in itself: what is registered for it. */
    public static Schema schema(Class<? extends SpecificRecord> type) {
        return published(type, VERSIONS);
    }

    /** The schema of a record as it was published: version 1 to {@link #VERSIONS}. */
    static Schema published(Class<?> type, int version) {
        String resource = "v%d/%s.avsc".formatted(version, type.getSimpleName());
        try (InputStream in = SingleObject.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException(
                        "resource: " + resource + " is missing (expected: beside SingleObject)");
            }
            return new Schema.Parser().parse(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Codec codec(Class<?> type) {
        Codec codec = CODECS.get(type);
        if (codec == null) {
            throw new IllegalArgumentException("record: " + type.getName() + " (expected: one of " + RECORDS + ")");
        }
        return codec;
    }

    private static String owner(long fingerprint) {
        return CODECS.entrySet().stream()
                .filter(codec -> codec.getValue().readers.containsKey(fingerprint))
                .map(codec -> ", a " + codec.getKey().getSimpleName())
                .findFirst()
                .orElse("");
    }

    /** Writer and readers of one record, the readers by the writer's schema fingerprint. */
    static final class Codec {
        /** What it returns is valid until the thread encodes again. */
        final BinaryMessageEncoder<SpecificRecord> encoder;

        final Schema current;
        final SpecificData model = new SpecificData(SingleObject.class.getClassLoader());
        /** The newest first. */
        final Map<Long, DatumReader<?>> readers = new LinkedHashMap<>();

        Codec(Class<? extends SpecificRecord> type) {
            current = model.getSchema(type);
            encoder = new BinaryMessageEncoder<>(model, current, false);
            addReader(current);
            for (int version = VERSIONS; version >= 1; version--) {
                addReader(published(type, version));
            }
        }

        private void addReader(Schema written) {
            readers.computeIfAbsent(SchemaNormalization.parsingFingerprint64(written), unused -> reader(written));
        }

        /** Reads what was written with another schema. */
        DatumReader<?> reader(Schema written) {
            return new SpecificDatumReader<>(written, current, model);
        }
    }
}
