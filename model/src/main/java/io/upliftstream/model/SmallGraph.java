package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Objects;

/** The small TorchScript graphs beside this class, made by {@code src/main/python/make_graphs.py}. */
final class SmallGraph {
    private SmallGraph() {}

    /** Loads {@code name}.pt. */
    static Model load(String name, Device device) {
        DenseModel.engine(0);
        Model model = Model.newInstance(name, device, "PyTorch");
        try (InputStream graph = Objects.requireNonNull(SmallGraph.class.getResourceAsStream(name + ".pt"))) {
            model.load(graph);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (MalformedModelException e) {
            throw new IllegalStateException(name + ".pt does not load", e);
        }
        return model;
    }
}
