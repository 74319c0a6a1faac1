package io.upliftstream.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** What the upsampler's graph gives: for each head an array of its values and, where it has that, one of its confidence. */
final class OutputArrays {
    private final List<HeadSpec> heads;
    /** The head of each array. */
    private final List<HeadSpec> arrays = new ArrayList<>();

    OutputArrays(List<HeadSpec> heads) {
        this.heads = heads;
        for (HeadSpec head : heads) {
            arrays.add(head);
            if (head.confidence()) {
                arrays.add(head);
            }
        }
    }

    /** Bytes of a frame in each array. */
    List<Integer> frameBytes() {
        return arrays.stream().map(HeadSpec::frameBytes).toList();
    }

    /** Refuses arrays that are not those of {@code n} frames. */
    void check(NDList found, int n) {
        if (found.size() != arrays.size()) {
            throw new IllegalStateException(
                    "the upsampler gives %d outputs (expected: %d)".formatted(found.size(), arrays.size()));
        }
        for (int i = 0; i < arrays.size(); i++) {
            HeadSpec head = arrays.get(i);
            NDArray array = found.get(i);
            Shape shape = head.kind() == HeadKind.SEGMENTATION
                    ? new Shape(n, head.height(), head.width())
                    : new Shape(n, head.channels(), head.height(), head.width());
            DataType dtype = DataType.valueOf(head.dtype().name());
            if (!array.getShape().equals(shape) || array.getDataType() != dtype) {
                throw new IllegalStateException("head %s: %s %s (expected: %s %s)"
                        .formatted(head.name(), array.getDataType(), array.getShape(), dtype, shape));
            }
        }
    }

    /** Copies {@code n} frames to the heap: views into native memory must not outlive it. */
    List<DenseOutput> copy(List<ByteBuffer> views, int n) {
        return IntStream.range(0, n).mapToObj(frame -> copyOf(views, frame)).toList();
    }

    private DenseOutput copyOf(List<ByteBuffer> views, int frame) {
        List<HeadOutput> outputs = new ArrayList<>();
        int next = 0;
        for (HeadSpec head : heads) {
            ByteBuffer data = copyOf(head, views.get(next++), frame);
            @Nullable ByteBuffer confidence = head.confidence() ? copyOf(head, views.get(next++), frame) : null;
            outputs.add(new HeadOutput(head, data, confidence));
        }
        return new DenseOutput(List.copyOf(outputs));
    }

    private static ByteBuffer copyOf(HeadSpec head, ByteBuffer view, int frame) {
        return ByteBuffer.allocate(head.frameBytes())
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(0, view, frame * head.frameBytes(), head.frameBytes());
    }
}
