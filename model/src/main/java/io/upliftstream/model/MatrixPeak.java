package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.training.ParameterStore;
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

    private final Model graph;
    private final int precision;

    /** Of the device and the precision that a model has. */
    public MatrixPeak(DenseModel model) {
        precision = Math.max(0, PRECISIONS.indexOf(model.variant().precision()));
        graph = SmallGraph.load("matrix-peak", model.gpu() < 0 ? Device.cpu() : Device.gpu(model.gpu()));
    }

    /** Billions of floating point operations per second that so many products reach. */
    public double gigaflops(int products) {
        return GIGAFLOP * products / (nanos(products) / 1e9);
    }

    /** What a call of a graph costs that does next to nothing: DJL, JNI, and TorchScript's interpreter. */
    public long emptyCallNanos() {
        return nanos(0);
    }

    private long nanos(int products) {
        try (NDManager arrays = graph.getNDManager().newSubManager()) {
            NDArray size = arrays.create(new long[] {SIDE, products, precision});
            long start = System.nanoTime();
            NDList result = graph.getBlock().forward(new ParameterStore(arrays, false), new NDList(size), false);
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
