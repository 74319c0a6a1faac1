package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TensorCodecTest {
    private static final int CHANNELS = 5;
    private static final int HEIGHT = 6;
    private static final int WIDTH = 7;

    @ParameterizedTest
    @EnumSource(names = "UNKNOWN", mode = EnumSource.Mode.EXCLUDE)
    void floatsComeBackAsTheyWere(Compression compression) {
        float[] values = values(TensorLayout.CHW);

        Tensor tensor = TensorCodec.encode(values, format(TensorLayout.CHW, TensorType.FLOAT32, false, compression));

        assertThat(TensorCodec.toFloats(tensor)).isEqualTo(values);
        assertThat(tensor.getShape()).containsExactly(CHANNELS, HEIGHT, WIDTH);
        assertThat(tensor.getStride()).isEqualTo(4);
        assertThat(tensor.getProjection()).contains("PCA to 5 channels");
    }

    @Test
    void halvesAreTheNearest() {
        float[] values = values(TensorLayout.HWC);

        float[] decoded = TensorCodec.toFloats(
                TensorCodec.encode(values, format(TensorLayout.HWC, TensorType.FLOAT16, false, Compression.ZSTD)));

        for (int i = 0; i < values.length; i++) {
            assertThat(decoded[i]).isEqualTo(Float16.toFloat(Float16.fromFloat(values[i])));
        }
    }

    @ParameterizedTest
    @EnumSource(names = "UNKNOWN", mode = EnumSource.Mode.EXCLUDE)
    void halvesOfTheModelPassUntouched(Compression compression) {
        byte[] bytes = new byte[3 + 2 * CHANNELS * HEIGHT * WIDTH];
        new Random(3).nextBytes(bytes);
        ByteBuffer heap = ByteBuffer.wrap(bytes.clone()).position(3);
        ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length).put(bytes).position(3);

        for (ByteBuffer halves : List.of(heap, direct)) {
            Tensor tensor = TensorCodec.encode(
                    halves, TensorType.FLOAT16, format(TensorLayout.CHW, TensorType.FLOAT16, false, compression));

            assertThat(halves.position()).isEqualTo(3);
            halves.put(3, (byte) ~halves.get(3)); // the tensor's bytes are its own
            assertThat(TensorCodec.decode(tensor))
                    .isEqualTo(ByteBuffer.wrap(bytes).position(3));
        }
    }

    @Test
    void halvesOfTheModelBecomeOtherTypes() {
        float[] values = values(TensorLayout.CHW);
        ByteBuffer halves = ByteBuffer.allocate(2 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            halves.putShort(Float16.fromFloat(value));
        }
        halves.flip().order(ByteOrder.BIG_ENDIAN);

        Tensor tensor = TensorCodec.encode(
                halves, TensorType.FLOAT16, format(TensorLayout.CHW, TensorType.FLOAT32, false, Compression.NONE));

        assertThat(TensorCodec.toFloats(tensor)).containsExactly(values, within(0.01f));
    }

    @ParameterizedTest
    @EnumSource(names = "UNKNOWN", mode = EnumSource.Mode.EXCLUDE)
    void everyChannelIsQuantisedOverItsOwnRange(TensorLayout layout) {
        float[] values = values(layout);
        Tensor shared = TensorCodec.encode(values, format(layout, TensorType.INT8, false, Compression.NONE));
        Tensor own = TensorCodec.encode(values, format(layout, TensorType.INT8, true, Compression.ZSTD));

        assertThat(shared.getScales()).hasSize(1);
        assertThat(shared.getZeroPoints()).hasSize(1);
        assertThat(own.getScales()).hasSize(CHANNELS);
        assertThat(own.getZeroPoints()).hasSize(CHANNELS);
        float[] fromShared = TensorCodec.toFloats(shared);
        float[] fromOwn = TensorCodec.toFloats(own);
        for (int i = 0; i < values.length; i++) {
            int channel = layout == TensorLayout.CHW ? i / (HEIGHT * WIDTH) : i % CHANNELS;
            // Channel c spans about 10^c: half a step of its own range, or of the widest.
            assertThat(fromOwn[i]).isEqualTo(values[i], within(own.getScales().get(channel)));
            assertThat(fromShared[i])
                    .isEqualTo(values[i], within(shared.getScales().get(0)));
        }
        assertThat(own.getScales().get(0)).isLessThan(shared.getScales().get(0) / 1000);
    }

    @Test
    void zeroIsExactAndTheRangeIsUsedWhole() {
        TensorFormat format = new TensorFormat(
                List.of(1, 1, 4), TensorLayout.CHW, 1, null, TensorType.INT8, false, Compression.NONE, 256);

        Tensor tensor = TensorCodec.encode(new float[] {-1, 0, 0.5f, 3}, format);

        assertThat(TensorCodec.decode(tensor).get(0)).isEqualTo((byte) -128);
        assertThat(TensorCodec.decode(tensor).get(3)).isEqualTo((byte) 127);
        assertThat(TensorCodec.toFloats(tensor)[1]).isZero();
        assertThat(TensorCodec.toFloats(TensorCodec.encode(new float[4], format)))
                .containsOnly(0);
    }

    @Test
    void int8RefusesWhatItCannotHold() {
        for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            float[] values = new float[CHANNELS * HEIGHT * WIDTH];
            values[50] = value;
            for (TensorLayout layout : List.of(TensorLayout.CHW, TensorLayout.HWC)) {
                assertThatThrownBy(() ->
                                TensorCodec.encode(values, format(layout, TensorType.INT8, true, Compression.NONE)))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessage("tensor values: NaN or infinity (expected: finite ones for INT8)");
            }
        }
    }

    @Test
    void halvesRefuseFiniteNumbersThatTheyCannotHold() {
        TensorFormat format = format(TensorLayout.CHW, TensorType.FLOAT16, false, Compression.NONE);
        float[] values = new float[CHANNELS * HEIGHT * WIDTH];
        values[0] = Float.NEGATIVE_INFINITY;
        values[50] = -65_519;
        float[] decoded = TensorCodec.toFloats(TensorCodec.encode(values, format));
        assertThat(decoded[0]).isEqualTo(Float.NEGATIVE_INFINITY);
        assertThat(decoded[50]).isEqualTo(-65_504);

        values[50] = -65_520;
        assertThatThrownBy(() -> TensorCodec.encode(values, format))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor values: -65520.0 (expected: from -65519 to 65519 for FLOAT16; FLOAT32 holds all)");
    }

    @Test
    void int8HoldsTheWidestRange() {
        TensorFormat format = new TensorFormat(
                List.of(1, 1, 3), TensorLayout.CHW, 1, null, TensorType.INT8, false, Compression.NONE, 256);
        float[] widest = {-Float.MAX_VALUE, 0, Float.MAX_VALUE};

        Tensor tensor = TensorCodec.encode(widest, format);

        assertThat(TensorCodec.decode(tensor).get(0)).isEqualTo((byte) -128);
        assertThat(TensorCodec.decode(tensor).get(2)).isEqualTo((byte) 127);
    }

    @Test
    void fewerLevelsAreCoarserAndCompressBetter() {
        float[] values = new float[64 * 64];
        Random random = new Random(7);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        Tensor fine = TensorCodec.encode(values, levels(256));
        Tensor coarse = TensorCodec.encode(values, levels(32));

        assertThat(coarse.getData().remaining()).isLessThan(fine.getData().remaining() * 3 / 4);
        ByteBuffer elements = TensorCodec.decode(coarse);
        float[] decoded = TensorCodec.toFloats(coarse);
        for (int i = 0; i < values.length; i++) {
            assertThat(elements.get(i)).isBetween((byte) -128, (byte) -97);
            assertThat(decoded[i])
                    .isEqualTo(values[i], within(coarse.getScales().get(0)));
        }
        assertThat(coarse.getScales().get(0)).isEqualTo(fine.getScales().get(0) * 255 / 31, within(1e-6f));
    }

    private static TensorFormat levels(int levels) {
        return new TensorFormat(
                List.of(1, 64, 64), TensorLayout.CHW, 1, null, TensorType.INT8, true, Compression.ZSTD, levels);
    }

    @Test
    void refusesValuesOfAnotherShape() {
        TensorFormat format = format(TensorLayout.CHW, TensorType.FLOAT16, false, Compression.NONE);
        assertThatThrownBy(() -> TensorCodec.encode(new float[5], format))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor values: 5 (expected: 210 for shape [5, 6, 7])");
        assertThatThrownBy(() -> TensorCodec.encode(ByteBuffer.allocate(5), TensorType.FLOAT16, format))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor values: 5 bytes of FLOAT16 (expected: 420 of FLOAT32 or FLOAT16)");
    }

    @Test
    void refusesShapesBeforeItAllocates() {
        for (List<Integer> shape : List.of(
                List.<Integer>of(),
                List.of(4, 4),
                List.of(1, 4, 4, 4),
                List.of(4, 0, 4),
                List.of(4, -4, -4),
                List.of(1 << 30, 1 << 30, 1 << 30),
                List.of(1 << 16, 1 << 16, 1))) {
            Tensor tensor = tensor(shape, TensorType.FLOAT32, Compression.ZSTD, new byte[8]);
            assertThatThrownBy(() -> TensorCodec.toFloats(tensor))
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessage(
                            "tensor: CHW of shape %s (expected: CHW or HWC, three sizes of at least 1, at most 67108864"
                                    + " elements)",
                            shape);
        }
    }

    @Test
    void aMillionSizesAreNotRepeated() {
        Tensor tensor = tensor(Collections.nCopies(1_000_000, 1), TensorType.INT8, Compression.NONE, new byte[1]);
        assertThatThrownBy(() -> TensorCodec.decode(tensor))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageStartingWith("tensor: CHW of shape 1000000 sizes (expected: ");
    }

    @Test
    void theLargestTensorIsTheCallers() {
        Tensor zeros = tensor(
                List.of(1, 1 << 10, 1 << 11), TensorType.FLOAT16, Compression.ZSTD, Zstd.compress(new byte[1 << 22]));
        assertThat(zeros.getData().remaining()).isLessThan(1024);
        assertThat(TensorCodec.toFloats(zeros, 1 << 21)).hasSize(1 << 21);
        for (ThrowingCallable read : List.<ThrowingCallable>of(
                () -> TensorCodec.decode(zeros, (1 << 21) - 1), () -> TensorCodec.toFloats(zeros, (1 << 21) - 1))) {
            assertThatThrownBy(read)
                    .isInstanceOf(MalformedRecordException.class)
                    .hasMessage("tensor: CHW of shape [1, 1024, 2048] (expected: CHW or HWC, three sizes of at least 1,"
                            + " at most 2097151 elements)");
        }
    }

    /** Few bytes that claim much, or are of a shape that claims much, take no memory. */
    @Test
    void claimsAreNotAllocated() {
        byte[] zstd = Zstd.compress(new byte[1 << 22]);
        for (Tensor tensor : List.of(
                tensor(List.of(1, 2, 2), TensorType.FLOAT16, Compression.ZSTD, zstd),
                tensor(List.of(1, 1 << 13, 1 << 13), TensorType.FLOAT32, Compression.ZSTD, zstd),
                tensor(List.of(1, 1 << 13, 1 << 13), TensorType.FLOAT32, Compression.NONE, new byte[20]))) {
            long before = Allocated.bytes();
            assertThatThrownBy(() -> TensorCodec.toFloats(tensor)).isInstanceOf(MalformedRecordException.class);
            assertThat(Allocated.bytes() - before).isLessThan(1 << 20);
        }
    }

    @Test
    void readsAFrameThatDoesNotSayItsSize() throws IOException {
        ByteArrayOutputStream frame = new ByteArrayOutputStream();
        try (ZstdOutputStream out = new ZstdOutputStream(frame)) {
            out.write(new byte[8]);
        }
        assertThat(Zstd.getFrameContentSize(frame.toByteArray())).as("unknown").isNegative();
        assertThat(TensorCodec.toFloats(
                        tensor(List.of(1, 2, 2), TensorType.FLOAT16, Compression.ZSTD, frame.toByteArray())))
                .containsExactly(0, 0, 0, 0);
    }

    @Test
    void refusesBytesThatAreNotTheTensor() {
        List<Integer> shape = List.of(1, 2, 2);
        assertThatThrownBy(() -> TensorCodec.decode(tensor(shape, TensorType.FLOAT16, Compression.NONE, new byte[9])))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("tensor: 9 bytes (expected: 8 for FLOAT16 of shape [1, 2, 2])");
        assertThatThrownBy(() -> TensorCodec.decode(tensor(shape, TensorType.FLOAT16, Compression.ZSTD, new byte[9])))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageStartingWith("zstd: ");
        assertThatThrownBy(() -> TensorCodec.toFloats(tensor(shape, TensorType.INT8, Compression.NONE, new byte[4])))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("tensor: 0 scales and 0 zero points (expected: 1 or 1 of each)");
        assertThatThrownBy(() -> TensorCodec.decode(tensor(shape, TensorType.UNKNOWN, Compression.NONE, new byte[4])))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("newer schema");
        assertThatThrownBy(() -> TensorCodec.decode(tensor(shape, TensorType.INT8, Compression.UNKNOWN, new byte[4])))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("newer schema");
    }

    @Test
    void aFormatOutOfRangeIsRefused() {
        assertThatThrownBy(() -> new TensorFormat(
                        List.of(1, 2, 3), TensorLayout.CHW, 0, null, TensorType.INT8, true, Compression.NONE, 256))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor stride: 0 (expected: >= 1)");
        assertThatThrownBy(() -> new TensorFormat(
                        List.of(1, 2, 3), TensorLayout.CHW, 1, null, TensorType.INT8, true, Compression.NONE, 257))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor levels: 257 (expected: 2 to 256)");
        assertThatThrownBy(() -> new TensorFormat(
                        List.of(1, 2), TensorLayout.CHW, 1, null, TensorType.INT8, true, Compression.NONE, 256))
                .isInstanceOf(IllegalArgumentException.class);
    }

    /** Channel c holds values up to 10^c, of both signs. */
    private static float[] values(TensorLayout layout) {
        Random random = new Random(4);
        float[] values = new float[CHANNELS * HEIGHT * WIDTH];
        for (int i = 0; i < values.length; i++) {
            int channel = layout == TensorLayout.CHW ? i / (HEIGHT * WIDTH) : i % CHANNELS;
            values[i] = (float) (Math.pow(10, channel - 3) * (2 * random.nextDouble() - 1));
        }
        return values;
    }

    private static TensorFormat format(
            TensorLayout layout, TensorType dtype, boolean perChannel, Compression compression) {
        List<Integer> shape =
                layout == TensorLayout.CHW ? List.of(CHANNELS, HEIGHT, WIDTH) : List.of(HEIGHT, WIDTH, CHANNELS);
        return new TensorFormat(shape, layout, 4, "PCA to 5 channels", dtype, perChannel, compression, 256);
    }

    private static Tensor tensor(List<Integer> shape, TensorType dtype, Compression compression, byte[] data) {
        return new Tensor(
                shape,
                TensorLayout.CHW,
                dtype,
                List.of(),
                List.of(),
                1,
                null,
                compression,
                ByteBuffer.wrap(data),
                null);
    }
}
