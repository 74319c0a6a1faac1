package io.upliftstream.schemas;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.io.DatumReader;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * Bytes to records, in either framing, which their first byte tells: Avro's single-object encoding, and Confluent's wire
 * format.
 *
 * <pre>{@code
 * RecordDecoder decoder = new RecordDecoder();
 * SegmentationRecord record = decoder.decode(value, SegmentationRecord.class);
 * }</pre>
 *
 * <p>In the wire format the writer's schema is that of the registry. Without a registry the published versions are tried,
 * the newest first, and one that takes every byte is it, which may also be so for a record that was cut. Safe for use by many threads.
 */
@NullMarked
public final class RecordDecoder {
    private static final int MAX_WRITERS = 1000;

    private final @Nullable SchemaRegistry registry;
    private final Map<Source, Writer> writers = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Source, Writer> eldest) {
            return size() > MAX_WRITERS;
        }
    };

    private record Source(Class<?> type, int id) {}

    /** How to read what was written with a schema, or why not. */
    private record Writer(@Nullable DatumReader<?> reader, @Nullable String problem) {}

    /** Knows the published schemas alone. */
    public RecordDecoder() {
        this(null);
    }

    /** @param registry that knows the schemas of the wire format; null for none */
    public RecordDecoder(@Nullable SchemaRegistry registry) {
        this.registry = registry;
    }

    /**
     * Whether a value is in the wire format of the registry. Without a registry the answer is always no, since a value that
     * begins as the wire format does may as well be H.264 in Annex B.
     */
    public boolean inWireFormat(byte[] value) {
        return registry != null && WireFormat.is(value);
    }

    /**
     * Decodes one of the module's records. Waits for the registry only where an id is new to it.
     *
     * @param value of a Kafka record; null for one without (a tombstone), which is refused
     * @throws MalformedRecordException if the bytes are not such a record, whole and alone; with a {@link RegistryException}
     *     as its cause if the registry has no schema for them
     */
    public <T extends SpecificRecord> T decode(byte @Nullable [] value, Class<T> type) {
        if (value == null || !WireFormat.is(value)) {
            return SingleObject.decode(value, type);
        } else if (registry == null) {
            return decodePublished(value, type);
        }
        Writer writer = writer(registry, new Source(type, WireFormat.id(value)));
        if (writer.reader == null) {
            throw new MalformedRecordException(String.valueOf(writer.problem));
        }
        return SingleObject.read(writer.reader, value, WireFormat.HEADER_BYTES, type);
    }

    /**
     * Decodes whichever of the module's records the bytes are. In the wire format the registry's schema says which;
     * without a registry it is the first that takes every byte.
     *
     * @throws MalformedRecordException likewise
     */
    public SpecificRecord decode(byte @Nullable [] value) {
        if (value == null || !WireFormat.is(value)) {
            return SingleObject.decode(value);
        }
        int id = WireFormat.id(value);
        if (registry != null) {
            String name = schema(registry, id).getFullName();
            for (Class<? extends SpecificRecord> type : SingleObject.RECORDS) {
                if (type.getName().equals(name)) {
                    return decode(value, type);
                }
            }
            throw new MalformedRecordException(
                    "schema id %d: %s (expected: one of %s)".formatted(id, name, SingleObject.RECORDS));
        }
        for (Class<? extends SpecificRecord> type : SingleObject.RECORDS) {
            try {
                return decodePublished(value, type);
            } catch (MalformedRecordException e) {
                // It is another's.
            }
        }
        throw new MalformedRecordException(
                "%d bytes in Confluent's wire format, schema id %d, of no published record (expected: the schema registry that knows the id)"
                        .formatted(value.length, id));
    }

    private static <T extends SpecificRecord> T decodePublished(byte[] value, Class<T> type) {
        MalformedRecordException last = null;
        for (DatumReader<?> reader : SingleObject.codec(type).readers.values()) {
            try {
                return SingleObject.read(reader, value, WireFormat.HEADER_BYTES, type);
            } catch (MalformedRecordException e) {
                last = e; // perhaps it is an older version
            }
        }
        throw new MalformedRecordException(
                "%s: %d bytes in Confluent's wire format, schema id %d, of no published version (expected: the schema registry that knows the id)"
                        .formatted(type.getSimpleName(), value.length, WireFormat.id(value)),
                last);
    }

    private static Schema schema(SchemaRegistry from, int id) {
        try {
            return from.schema(id);
        } catch (RegistryException e) {
            throw new MalformedRecordException(String.valueOf(e.getMessage()), e);
        }
    }

    private Writer writer(SchemaRegistry from, Source source) {
        synchronized (writers) {
            Writer known = writers.get(source);
            if (known != null) {
                return known;
            }
        }
        Schema schema = schema(from, source.id);
        Writer writer;
        try {
            SingleObject.Codec codec = SingleObject.codec(source.type);
            WriterSchema.check(schema, codec.current);
            writer = new Writer(codec.reader(schema), null);
        } catch (MalformedRecordException e) {
            writer = new Writer(null, "schema id " + source.id + ": " + e.getMessage());
        }
        synchronized (writers) {
            writers.put(source, writer);
        }
        return writer;
    }
}
