package io.upliftstream.sql;

import io.upliftstream.schemas.MalformedRecordException;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The rule of the functions for records: see {@link UpliftModule}. */
final class Records {
    private Records() {}

    /** What a function makes of a record; null if there are no bytes, or not those of a record that it reads. */
    static <T> @Nullable T read(byte @Nullable [] record, Function<byte[], @Nullable T> function) {
        if (record == null) {
            return null;
        }
        try {
            return function.apply(record);
        } catch (MalformedRecordException e) {
            return null;
        }
    }

    /** Bytes as numbers from 0 to 255. */
    static int[] unsigned(byte[] bytes) {
        int[] numbers = new int[bytes.length];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = Byte.toUnsignedInt(bytes[i]);
        }
        return numbers;
    }
}
