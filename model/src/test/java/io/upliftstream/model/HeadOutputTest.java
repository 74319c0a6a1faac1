package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class HeadOutputTest {
    private static HeadOutput halves(int... bits) {
        ByteBuffer data = ByteBuffer.allocate(2 * bits.length).order(ByteOrder.LITTLE_ENDIAN);
        for (int half : bits) {
            data.putShort((short) half);
        }
        HeadSpec head = new HeadSpec("h", HeadKind.FEATURES, 1, bits.length, 1, 1, DType.FLOAT16, null, false);
        return new HeadOutput(head, data, null);
    }

    @Test
    void widensHalves() {
        HeadOutput output = halves(0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x0400, 0x3555);
        assertThat(output.toFloats()).containsExactly(1f, -2f, 65504f, 0x1p-24f, -0f, 0x1p-14f, 1365 / 4096f);
        assertThat(output.isFinite()).isTrue();
    }

    @Test
    void seesLabelsOfNoClass() {
        HeadSpec head = new HeadSpec("h", HeadKind.SEGMENTATION, 200, 2, 1, 1, DType.UINT8, null, false);
        assertThat(new HeadOutput(head, ByteBuffer.wrap(new byte[] {0, (byte) 199}), null).isFinite())
                .isTrue();
        assertThat(new HeadOutput(head, ByteBuffer.wrap(new byte[] {0, (byte) 255}), null).isFinite())
                .isFalse();
    }

    @Test
    void seesInfinityAndNan() {
        assertThat(halves(0x7c00).isFinite()).isFalse();
        assertThat(halves(0x3c00, 0xfe00).isFinite()).isFalse();
        assertThat(halves(0xfc00).toFloats()).containsExactly(Float.NEGATIVE_INFINITY);
        assertThat(halves(0x7e00).toFloats()[0]).isNaN();
    }
}
