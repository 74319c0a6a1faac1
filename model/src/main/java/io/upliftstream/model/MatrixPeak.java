package io.upliftstream.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import java.util.List;

/**
 * What matrix products reach in this process: the roof under which a model runs. One product of large square matrices
 * after the other, at the precision of a model (for int8: fp32) and on its device, inside a small TorchScript graph.
 */
public final class MatrixPeak implements AutoCloseable {
    private static final int SIDE = 1024;
    /** Billions of floating point operations of one product; an addition counts as one. */
    public static final double GIGAFLOP = 2e-9 * SIDE * SIDE * SIDE;

    private static final List<String> PRECISIONS = List.of("fp32", "bf16", "fp16");

    private final TorchGraph graph;
    private final int precision;

    /** Measures on the device and at the precision of a model. */
    public MatrixPeak(DenseModel model) {
        precision = Math.max(0, PRECISIONS.indexOf(model.variant().precision()));
        graph = TorchGraph.small("matrix-peak", model.device());
    }

    /** Billions of floating point operations per second that so many products, one after the other, reach. */
    public double gigaflops(int products) {
        return GIGAFLOP * products / (nanos(products) / 1e9);
    }

    /** The time of a call of a graph that does next to nothing: DJL, JNI, and TorchScript's interpreter. */
    public long emptyCallNanos() {
        return nanos(0);
    }

    private long nanos(int products) {
        try (NDManager arrays = graph.arrays()) {
            NDArray size = arrays.create(new long[] {SIDE, products, precision});
            long start = System.nanoTime();
            NDList result = graph.forward(arrays, size);
            if (products > 0) {
                result.singletonOrThrow().toByteBuffer(); // waits for a GPU
            }
            return System.nanoTime() - start;
        }
    }

    @Override
    public void close() {
        graph.close();
    }
}
