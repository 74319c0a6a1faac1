package io.upliftstream.schemas;

import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * How the tensors of one head are written.
 *
 * @param shape sizes of the three axes in the order of the layout
 * @param layout CHW or HWC
 * @param stride model input pixels per cell
 * @param projection what took the backbone's channels to these, in words; null for none
 * @param dtype FLOAT32, FLOAT16 or INT8
 * @param perChannel INT8 only: a scale and zero point for each channel, else one for all
 * @param compression NONE or ZSTD
 * @param levels INT8 only: the number of steps that the range is spread over, 2 to 256; the fewer, the better ZSTD does
 */
@NullMarked
public record TensorFormat(
        List<Integer> shape,
        TensorLayout layout,
        int stride,
        @Nullable String projection,
        TensorType dtype,
        boolean perChannel,
        Compression compression,
        int levels) {

    /** @throws IllegalArgumentException if a value is out of its range */
    public TensorFormat {
        shape = List.copyOf(shape);
        String problem = TensorCodec.shapeProblem(shape, layout, TensorCodec.MAX_ELEMENTS);
        if (problem != null) {
            throw new IllegalArgumentException(problem);
        }
        if (stride < 1) {
            throw new IllegalArgumentException("tensor stride: " + stride + " (expected: >= 1)");
        }
        if (levels < 2 || levels > 256) {
            throw new IllegalArgumentException("tensor levels: " + levels + " (expected: 2 to 256)");
        }
        if (dtype == TensorType.UNKNOWN || compression == Compression.UNKNOWN) {
            throw new IllegalArgumentException("tensor: %s, %s (expected: known ones)".formatted(dtype, compression));
        }
    }

    int elements() {
        return TensorCodec.elements(shape);
    }
}
