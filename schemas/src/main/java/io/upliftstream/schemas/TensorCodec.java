package io.upliftstream.schemas;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.Arrays;
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

    private static final float ROUND = 0x1.8p23f;
    private static final int ROUND_BITS = Float.floatToRawIntBits(ROUND);

    private TensorCodec() {}

    /**
     * Encodes a tensor.
     *
     * @param values the elements that remain in the buffer, little-endian whatever its order, in the format's shape and
     *     layout; the position stays
     * @param valuesType FLOAT32 or FLOAT16: the type of values; converted only where the format says another
     * @throws IllegalArgumentException if there are more or fewer values than the shape says, or a value that INT8 cannot
     *     hold (NaN, infinity) or that FLOAT16 cannot (finite and beyond 65,519)
     */
    public static Tensor encode(ByteBuffer values, TensorType valuesType, TensorFormat format) {
        int expected = format.elements() * bytesPerElement(valuesType);
        if (values.remaining() != expected || valuesType == TensorType.INT8) {
            throw new IllegalArgumentException("tensor values: %d bytes of %s (expected: %d of FLOAT32 or FLOAT16)"
                    .formatted(values.remaining(), valuesType, expected));
        }
        ByteBuffer elements = values.slice().order(ByteOrder.LITTLE_ENDIAN);
        if (valuesType == format.dtype()) {
            boolean compressible = format.compression() == Compression.ZSTD && elements.hasArray();
            return tensor(
                    compressible
                            ? elements
                            : ByteBuffer.allocate(expected).put(elements).flip(),
                    List.of(),
                    List.of(),
                    format);
        }
        if (format.dtype() == TensorType.INT8) {
            return quantise(elements, valuesType, format);
        }
        float[] floats = floats(elements, valuesType, 0, format.elements());
        ByteBuffer converted = ByteBuffer.allocate(floats.length * bytesPerElement(format.dtype()))
                .order(ByteOrder.LITTLE_ENDIAN);
        if (format.dtype() == TensorType.FLOAT32) {
            converted.asFloatBuffer().put(floats);
        } else {
            ShortBuffer halves = converted.asShortBuffer();
            for (int i = 0; i < floats.length; i++) {
                short half = Float16.fromFloat(floats[i]);
                if ((half & 0x7FFF) == 0x7C00 && Float.isFinite(floats[i])) {
                    throw new IllegalArgumentException(
                            "tensor values: %s (expected: from -65519 to 65519 for FLOAT16; FLOAT32 holds all)"
                                    .formatted(floats[i]));
                }
                halves.put(i, half);
            }
        }
        return tensor(converted, List.of(), List.of(), format);
    }

    /** As {@link #encode(ByteBuffer, TensorType, TensorFormat)}, from floats. */
    public static Tensor encode(float[] values, TensorFormat format) {
        if (values.length != format.elements()) {
            throw new IllegalArgumentException("tensor values: %d (expected: %d for shape %s)"
                    .formatted(values.length, format.elements(), format.shape()));
        }
        ByteBuffer elements = ByteBuffer.allocate(Float.BYTES * values.length).order(ByteOrder.LITTLE_ENDIAN);
        elements.asFloatBuffer().put(values);
        return encode(elements, TensorType.FLOAT32, format);
    }

    /** As {@link #decode(Tensor, int)}, of up to {@link #MAX_ELEMENTS}. */
    public static ByteBuffer decode(Tensor tensor) {
        return decode(tensor, MAX_ELEMENTS);
    }

    /**
     * The tensor's elements as they were written, decompressed.
     *
     * @param maxElements the largest tensor to decode; a few kilobytes can honestly be one of {@link #MAX_ELEMENTS}
     * @return little-endian elements of the tensor's dtype, in its shape and layout
     * @throws MalformedRecordException if there are more elements, or the bytes do not hold a tensor of the stated shape
     */
    public static ByteBuffer decode(Tensor tensor, int maxElements) {
        String problem = shapeProblem(tensor.getShape(), tensor.getLayout(), Math.min(maxElements, MAX_ELEMENTS));
        if (problem != null) {
            throw new MalformedRecordException(problem);
        }
        if (tensor.getDtype() == TensorType.UNKNOWN) {
            throw new MalformedRecordException(
                    "tensor type: one of a newer schema (expected: FLOAT32, FLOAT16 or INT8)");
        }
        Payloads.requireHere("tensor", tensor.getReference());
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

    /** As {@link #toFloats(Tensor, int)}, of up to {@link #MAX_ELEMENTS}. */
    public static float[] toFloats(Tensor tensor) {
        return toFloats(tensor, MAX_ELEMENTS);
    }

    /**
     * The tensor's values in its shape and layout.
     *
     * @param maxElements the largest tensor to decode; it takes up to 8 bytes of memory for each element
     * @throws MalformedRecordException if there are more elements, or the bytes do not hold a tensor of the stated shape
     */
    public static float[] toFloats(Tensor tensor, int maxElements) {
        ByteBuffer elements = decode(tensor, maxElements);
        return tensor.getDtype() == TensorType.INT8
                ? dequantise(elements, tensor)
                : floats(elements, tensor.getDtype(), 0, elements(tensor.getShape()));
    }

    private static float[] floats(ByteBuffer elements, TensorType type, int from, int count) {
        float[] values = new float[count];
        if (type == TensorType.FLOAT32) {
            elements.asFloatBuffer().get(from, values);
            return values;
        }
        short[] halves = new short[count];
        elements.asShortBuffer().get(from, halves);
        for (int i = 0; i < count; i++) {
            values[i] = Float16.toFloat(halves[i]);
        }
        return values;
    }

    private static Tensor quantise(ByteBuffer elements, TensorType type, TensorFormat format) {
        byte[] quantised = new byte[format.elements()];
        int groups = format.perChannel() ? channels(format.shape(), format.layout()) : 1;
        int run = run(quantised.length, groups, format.layout());
        List<Float> scales = new ArrayList<>(groups);
        List<Integer> zeroPoints = new ArrayList<>(groups);
        if (run == 1) {
            float[] values = floats(elements, type, 0, quantised.length);
            quantise(values, groups, quantised, 0, format.levels(), scales, zeroPoints);
        } else {
            // Group by group, so that what is converted, measured and written stays in the processor's cache.
            for (int start = 0; start < quantised.length; start += run) {
                float[] values = floats(elements, type, start, run);
                quantise(values, 1, quantised, start, format.levels(), scales, zeroPoints);
            }
        }
        return tensor(ByteBuffer.wrap(quantised), scales, zeroPoints, format);
    }

    /** Quantises values whose groups, such as channels, take turns; adds the groups' scales and zero points. */
    private static void quantise(
            float[] values,
            int groups,
            byte[] quantised,
            int start,
            int levels,
            List<Float> scales,
            List<Integer> zeroPoints) {
        int run = groups == 1 ? values.length : 1;
        float[] low = new float[groups];
        float[] high = new float[groups];
        for (int from = 0, group = 0; from < values.length; from += run, group = (group + 1) % groups) {
            float lowest = low[group];
            float highest = high[group];
            for (int i = from; i < from + run; i++) {
                lowest = Math.min(lowest, values[i]);
                highest = Math.max(highest, values[i]);
            }
            low[group] = lowest;
            high[group] = highest;
        }
        for (int group = 0; group < groups; group++) {
            float scale = (float) (((double) high[group] - low[group]) / (levels - 1));
            if (!(scale < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException("tensor values: NaN or infinity (expected: finite ones for INT8)");
            }
            if (scale < Float.MIN_NORMAL) {
                scale = 1;
            }
            scales.add(scale);
            zeroPoints.add((int) Math.rint(-128 - low[group] / scale));
        }
        int highest = levels - 129;
        for (int from = 0, group = 0; from < values.length; from += run, group = (group + 1) % groups) {
            int last = scales.size() - groups + group;
            float inverse = 1 / scales.get(last);
            int zeroPoint = zeroPoints.get(last);
            for (int i = from; i < from + run; i++) {
                // Adding ROUND leaves no bits for a fraction: it rounds to the nearest, ties to even, as Math.rint
                // does.
                int q = Float.floatToRawIntBits(values[i] * inverse + ROUND) - ROUND_BITS + zeroPoint;
                if (q > highest) { // by a rounding, at the ends of the range
                    q = highest;
                } else if (q < -128) {
                    q = -128;
                }
                quantised[start + i] = (byte) q;
            }
        }
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

    /** @param elements in an array, from here on the tensor's own unless they are compressed */
    private static Tensor tensor(
            ByteBuffer elements, List<Float> scales, List<Integer> zeroPoints, TensorFormat format) {
        return new Tensor(
                format.shape(),
                format.layout(),
                format.dtype(),
                scales,
                zeroPoints,
                format.stride(),
                format.projection(),
                format.compression(),
                format.compression() == Compression.ZSTD ? compress(elements) : elements,
                null);
    }

    private static ByteBuffer compress(ByteBuffer elements) {
        byte[] frame = new byte[(int) Zstd.compressBound(elements.remaining())];
        long length = Zstd.compressByteArray(
                frame,
                0,
                frame.length,
                elements.array(),
                elements.arrayOffset() + elements.position(),
                elements.remaining(),
                ZSTD_LEVEL);
        return ByteBuffer.wrap(Arrays.copyOf(frame, (int) length));
    }

    /** Exactly so many bytes out of one zstd frame; never allocates more, whatever the frame claims. */
    static byte[] decompress(ByteBuffer data, int expected) {
        ByteBuffer frame = data;
        if (!frame.hasArray()) {
            frame = ByteBuffer.allocate(data.remaining()).put(data.duplicate()).flip();
        }
        long claimed = frame.hasRemaining()
                ? Zstd.getFrameContentSize(frame.array(), frame.arrayOffset() + frame.position(), frame.remaining())
                : 0;
        if (claimed > 0 && claimed != expected) { // not positive where the frame does not say
            throw new MalformedRecordException(
                    "zstd: a frame of %d bytes (expected: one frame of %d bytes)".formatted(claimed, expected));
        }
        byte[] bytes = new byte[expected];
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

    static @Nullable String shapeProblem(List<Integer> shape, TensorLayout layout, int maxElements) {
        long elements = shape.size() == 3 ? 1 : Long.MAX_VALUE;
        for (int i = 0; i < 3 && elements <= maxElements; i++) {
            elements = shape.get(i) < 1 ? Long.MAX_VALUE : elements * shape.get(i);
        }
        if (layout != TensorLayout.UNKNOWN && elements <= maxElements) {
            return null;
        }
        // A record may list a million sizes; the sentence shall not.
        Object shown = shape.size() <= 4 ? shape : shape.size() + " sizes";
        return "tensor: %s of shape %s (expected: CHW or HWC, three sizes of at least 1, at most %d elements)"
                .formatted(layout, shown, maxElements);
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
