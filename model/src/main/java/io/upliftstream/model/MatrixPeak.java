package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.training.ParameterStore;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Objects;

/**
 * What matrix products reach in this process: the roof under which a model runs. One product of large square matrices
 * after the other, at the precision of a model and on its device, inside a small TorchScript graph (made by {@code
 * src/main/python/make_graphs.py}).
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
        precision = PRECISIONS.indexOf(model.variant().precision());
        graph = Model.newInstance("matrix-peak", model.gpu() < 0 ? Device.cpu() : Device.gpu(model.gpu()), "PyTorch");
        try (InputStream resource = Objects.requireNonNull(MatrixPeak.class.getResourceAsStream("matrix-peak.pt"))) {
            graph.load(resource);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (MalformedModelException e) {
            throw new IllegalStateException("matrix-peak.pt does not load", e);
        }
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
