package io.upliftstream.tools.picture;

import io.upliftstream.model.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/** NumPy's array files, format 1.0: a text header padded to 64 bytes, then the elements. */
public final class Npy {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    private static final int ALIGNMENT = 64;

    private Npy() {}

    /**
     * Writes an array in C order.
     *
     * @param elements little-endian, from the buffer's position to its limit; the position stays
     */
    public static void write(Path file, DType type, List<Integer> shape, ByteBuffer elements) throws IOException {
        String descr =
                switch (type) {
                    case UINT8 -> "|u1";
                    case FLOAT16 -> "<f2";
                    case FLOAT32 -> "<f4";
                };
        // A tuple of one number has a comma after it, so every number gets one.
        String sizes = shape.stream().map(size -> size + ",").collect(Collectors.joining(" "));
        String header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }".formatted(descr, sizes);
        int unpadded = MAGIC.length + Short.BYTES + header.length() + 1;
        header += " ".repeat(Math.floorMod(-unpadded, ALIGNMENT)) + "\n";
        ByteBuffer start = ByteBuffer.allocate(MAGIC.length + Short.BYTES + header.length());
        start.put(MAGIC)
                .put((byte) header.length())
                .put((byte) (header.length() >> 8))
                .put(header.getBytes(StandardCharsets.US_ASCII))
                .flip();
        FreshFile.write(file, start, elements);
    }
}
