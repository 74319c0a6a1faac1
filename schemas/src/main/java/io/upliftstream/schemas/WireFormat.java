package io.upliftstream.schemas;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.NullMarked;

/**
 * Records to bytes in Confluent's wire format: a zero, the id that a schema registry gave the writer's schema (4 bytes,
 * big-endian), then the record as Avro. {@link RecordDecoder} is the way back.
 */
@NullMarked
public final class WireFormat {
    static final int HEADER_BYTES = 5;

    private WireFormat() {}

    /**
     * Encodes one of the module's records.
     *
     * @param id of the record's schema at the registry, {@link SchemaRegistry#register} or {@link SchemaRegistry#lookUp}
     * @throws IllegalArgumentException if the class is not one of them
     */
    public static byte[] encode(SpecificRecord record, int id) {
        // Both framings have the same record behind a header; this one's is the shorter.
        ByteBuffer single = SingleObject.borrow(record);
        int start = single.arrayOffset() + single.position() + SingleObject.HEADER_BYTES - HEADER_BYTES;
        byte[] framed = Arrays.copyOfRange(single.array(), start, single.arrayOffset() + single.limit());
        ByteBuffer.wrap(framed).put((byte) 0).putInt(id);
        return framed;
    }

    /** Whether a value begins as one in this format does; no image and no single object begins so. */
    public static boolean is(byte[] value) {
        return value.length >= HEADER_BYTES && value[0] == 0;
    }

    /** The id of the writer's schema in a value of this format. */
    public static int id(byte[] value) {
        return ByteBuffer.wrap(value).getInt(1);
    }
}
