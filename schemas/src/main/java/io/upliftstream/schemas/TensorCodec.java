package io.upliftstream.schemas;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * Tensors to bytes and back; every element is little-endian. INT8 is affine: value = (q - zeroPoint) * scale, with 0
 * exact and the range of the tensor, or of each channel, spread over the format's levels.
 */
@NullMarked
public final class TensorCodec {
    /** Largest tensor that is written or read, in elements. */
    public static final int MAX_ELEMENTS = 1 << 26;

    /** The fastest of zstd's ordinary levels: the higher ones gain little on features and masks. */
    static final int ZSTD_LEVEL = 1;

    private TensorCodec() {}

    /**
     * Encodes a tensor.
     *
     * @param values the elements that remain in the buffer, little-endian whatever its order, in the format's shape and
     *     layout; the position stays
     * @param valuesType FLOAT32 or FLOAT16: the type of values; converted only where the format says another
     * @throws IllegalArgumentException if there are more or fewer values than the shape says, or a value that INT8 cannot
     *     hold (NaN, infinity)
     */
    public static Tensor encode(ByteBuffer values, TensorType valuesType, TensorFormat format) {
        int expected = format.elements() * bytesPerElement(valuesType);
        if (values.remaining() != expected || valuesType == TensorType.INT8) {
            throw new IllegalArgumentException("tensor values: %d bytes of %s (expected: %d of FLOAT32 or FLOAT16)"
                    .formatted(values.remaining(), valuesType, expected));
        }
        if (valuesType == format.dtype()) {
            byte[] bytes = new byte[expected];
            values.get(values.position(), bytes);
            return tensor(bytes, List.of(), List.of(), format);
        }
        return encode(floats(values, valuesType), format);
    }

    /** As {@link #encode(ByteBuffer, TensorType, TensorFormat)}, from floats. */
    public static Tensor encode(float[] values, TensorFormat format) {
        if (values.length != format.elements()) {
            throw new IllegalArgumentException("tensor values: %d (expected: %d for shape %s)"
                    .formatted(values.length, format.elements(), format.shape()));
        }
        ByteBuffer bytes = ByteBuffer.allocate(values.length * bytesPerElement(format.dtype()))
                .order(ByteOrder.LITTLE_ENDIAN);
        switch (format.dtype()) {
            case FLOAT32 -> bytes.asFloatBuffer().put(values);
            case FLOAT16 -> {
                ShortBuffer halves = bytes.asShortBuffer();
                for (int i = 0; i < values.length; i++) {
                    halves.put(i, Float16.fromFloat(values[i]));
                }
            }
            case INT8 -> {
                return quantise(values, bytes.array(), format);
            }
            case UNKNOWN -> throw new AssertionError(format);
        }
        return tensor(bytes.array(), List.of(), List.of(), format);
    }

    /**
     * The tensor's elements as they were written, decompressed.
     *
     * @return little-endian elements of the tensor's dtype, in its shape and layout
     * @throws MalformedRecordException if the bytes do not hold a tensor of the stated shape
     */
    public static ByteBuffer decode(Tensor tensor) {
        String problem = shapeProblem(tensor.getShape(), tensor.getLayout());
        if (problem != null) {
            throw new MalformedRecordException(problem);
        }
        if (tensor.getDtype() == TensorType.UNKNOWN) {
            throw new MalformedRecordException(
                    "tensor type: one of a newer schema (expected: FLOAT32, FLOAT16 or INT8)");
        }
        int expected = elements(tensor.getShape()) * bytesPerElement(tensor.getDtype());
        ByteBuffer data = tensor.getData();
        ByteBuffer elements =
                switch (tensor.getCompression()) {
                    case NONE -> data.slice();
                    case ZSTD -> ByteBuffer.wrap(decompress(data, expected));
                    case UNKNOWN ->
                        throw new MalformedRecordException(
                                "tensor compression: one of a newer schema (expected: NONE or ZSTD)");
                };
        if (elements.remaining() != expected) {
            throw new MalformedRecordException("tensor: %d bytes (expected: %d for %s of shape %s)"
                    .formatted(elements.remaining(), expected, tensor.getDtype(), tensor.getShape()));
        }
        return elements.order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * The tensor's values in its shape and layout.
     *
     * @throws MalformedRecordException if the bytes do not hold a tensor of the stated shape
     */
    public static float[] toFloats(Tensor tensor) {
        ByteBuffer elements = decode(tensor);
        return tensor.getDtype() == TensorType.INT8
                ? dequantise(elements, tensor)
                : floats(elements, tensor.getDtype());
    }

    private static float[] floats(ByteBuffer elements, TensorType type) {
        ByteBuffer ordered = elements.slice().order(ByteOrder.LITTLE_ENDIAN);
        float[] values = new float[ordered.remaining() / bytesPerElement(type)];
        if (type == TensorType.FLOAT32) {
            ordered.asFloatBuffer().get(values);
        } else {
            ShortBuffer halves = ordered.asShortBuffer();
            for (int i = 0; i < values.length; i++) {
                values[i] = Float16.toFloat(halves.get(i));
            }
        }
        return values;
    }

    private static Tensor quantise(float[] values, byte[] quantised, TensorFormat format) {
        int groups = format.perChannel() ? channels(format.shape(), format.layout()) : 1;
        int run = run(values.length, groups, format.layout());
        float[] low = new float[groups];
        float[] high = new float[groups];
        for (int start = 0, group = 0; start < values.length; start += run, group = (group + 1) % groups) {
            float lowest = low[group];
            float highest = high[group];
            for (int i = start; i < start + run; i++) {
                lowest = Math.min(lowest, values[i]);
                highest = Math.max(highest, values[i]);
            }
            low[group] = lowest;
            high[group] = highest;
        }
        List<Float> scales = new ArrayList<>(groups);
        List<Integer> zeroPoints = new ArrayList<>(groups);
        for (int group = 0; group < groups; group++) {
            float scale = (float) (((double) high[group] - low[group]) / (format.levels() - 1));
            if (!(scale < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException("tensor values: NaN or infinity (expected: finite ones for INT8)");
            }
            if (scale < Float.MIN_NORMAL) {
                scale = 1;
            }
            scales.add(scale);
            zeroPoints.add((int) Math.rint(-128 - low[group] / scale));
        }
        int highest = format.levels() - 129;
        for (int start = 0, group = 0; start < values.length; start += run, group = (group + 1) % groups) {
            float inverse = 1 / scales.get(group);
            int zeroPoint = zeroPoints.get(group);
            for (int i = start; i < start + run; i++) {
                int q = (int) Math.rint(values[i] * inverse) + zeroPoint;
                quantised[i] = (byte) Math.max(-128, Math.min(highest, q));
            }
        }
        return tensor(quantised, scales, zeroPoints, format);
    }

    private static float[] dequantise(ByteBuffer elements, Tensor tensor) {
        int channels = channels(tensor.getShape(), tensor.getLayout());
        int groups = tensor.getScales().size();
        if ((groups != 1 && groups != channels) || tensor.getZeroPoints().size() != groups) {
            throw new MalformedRecordException("tensor: %d scales and %d zero points (expected: 1 or %d of each)"
                    .formatted(groups, tensor.getZeroPoints().size(), channels));
        }
        float[] values = new float[elements.remaining()];
        int run = run(values.length, groups, tensor.getLayout());
        for (int start = 0, group = 0; start < values.length; start += run, group = (group + 1) % groups) {
            float scale = tensor.getScales().get(group);
            int zeroPoint = tensor.getZeroPoints().get(group);
            for (int i = start; i < start + run; i++) {
                values[i] = (elements.get(i) - zeroPoint) * scale;
            }
        }
        return values;
    }

    private static int channels(List<Integer> shape, TensorLayout layout) {
        return shape.get(layout == TensorLayout.CHW ? 0 : 2);
    }

    /** Elements side by side that share a scale: all, a channel's plane, or a single one. */
    private static int run(int elements, int groups, TensorLayout layout) {
        return groups == 1 || layout == TensorLayout.CHW ? elements / groups : 1;
    }

    private static Tensor tensor(byte[] elements, List<Float> scales, List<Integer> zeroPoints, TensorFormat format) {
        byte[] data = format.compression() == Compression.ZSTD ? Zstd.compress(elements, ZSTD_LEVEL) : elements;
        return new Tensor(
                format.shape(),
                format.layout(),
                format.dtype(),
                scales,
                zeroPoints,
                format.stride(),
                format.projection(),
                format.compression(),
                ByteBuffer.wrap(data));
    }

    /** Exactly so many bytes out of one zstd frame; never allocates more, whatever the frame claims. */
    static byte[] decompress(ByteBuffer data, int expected) {
        byte[] bytes = new byte[expected];
        ByteBuffer frame = data;
        if (!frame.hasArray()) {
            frame = ByteBuffer.allocate(data.remaining()).put(data.duplicate()).flip();
        }
        long length;
        try {
            length = Zstd.decompressByteArray(
                    bytes, 0, expected, frame.array(), frame.arrayOffset() + frame.position(), frame.remaining());
        } catch (ZstdException e) {
            throw new MalformedRecordException(
                    "zstd: %s (expected: one frame of %d bytes)".formatted(e.getMessage(), expected), e);
        }
        if (length != expected) {
            throw new MalformedRecordException("zstd: %d bytes (expected: %d)".formatted(length, expected));
        }
        return bytes;
    }

    static @Nullable String shapeProblem(List<Integer> shape, TensorLayout layout) {
        long elements = 1;
        for (int size : shape) {
            elements = size < 1 || elements > MAX_ELEMENTS ? Long.MAX_VALUE : elements * size;
        }
        return shape.size() == 3 && layout != TensorLayout.UNKNOWN && elements <= MAX_ELEMENTS
                ? null
                : "tensor: %s of shape %s (expected: CHW or HWC, three sizes of at least 1, at most %d elements)"
                        .formatted(layout, shape, MAX_ELEMENTS);
    }

    static int elements(List<Integer> shape) {
        return shape.get(0) * shape.get(1) * shape.get(2);
    }

    private static int bytesPerElement(TensorType type) {
        return switch (type) {
            case FLOAT32 -> 4;
            case FLOAT16 -> 2;
            case INT8 -> 1;
            case UNKNOWN -> throw new IllegalArgumentException("tensor type: UNKNOWN (expected: a known one)");
        };
    }
}
