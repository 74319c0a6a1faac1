package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NpyTest {
    @Test
    void headerIsPaddedAndElementsFollow(@TempDir Path directory) throws Exception {
        Path file = directory.resolve("a.npy");
        ByteBuffer elements = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < 6; i++) {
            elements.putFloat(i + 0.5f);
        }
        Npy.write(file, DType.FLOAT32, List.of(2, 3), elements.flip());

        ByteBuffer written = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[8];
        written.get(magic);
        assertThat(magic).containsExactly(0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0);
        byte[] header = new byte[written.getShort()];
        written.get(header);
        assertThat(written.position() % 64).isZero();
        assertThat(new String(header, StandardCharsets.US_ASCII))
                .startsWith("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }")
                .endsWith("\n");
        for (int i = 0; i < 6; i++) {
            assertThat(written.getFloat()).isEqualTo(i + 0.5f);
        }
        assertThat(written.hasRemaining()).isFalse();
    }
}
