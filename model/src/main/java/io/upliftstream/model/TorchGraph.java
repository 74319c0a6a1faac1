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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;

/** A TorchScript graph on a device. */
final class TorchGraph implements AutoCloseable {
    private final Model model;

    private interface Loading {
        void load(Model model) throws IOException, MalformedModelException;
    }

    private TorchGraph(String name, Device device, Loading loading) throws IOException {
        PyTorch.start(0);
        model = Model.newInstance(name, device, "PyTorch");
        try {
            loading.load(model);
        } catch (MalformedModelException e) {
            model.close();
            throw new IOException(name + " does not load", e);
        } catch (IOException | RuntimeException e) {
            model.close();
            throw e;
        }
    }

    /** The graph in a file of a bundle: a copy that is this user's own, since PyTorch opens a name, not bytes. */
    static TorchGraph load(BundleFile file, Device device) throws IOException {
        Path directory = Files.createTempDirectory("uplift-graph-");
        Path copy = directory.resolve("graph.pt");
        try {
            file.copyTo(copy);
            // A frozen graph carries its device in constants; this moves them.
            Map<String, String> options = device.isGpu() ? Map.of("mapLocation", "true") : Map.of();
            String name = Objects.requireNonNull(file.path().getFileName()).toString();
            return new TorchGraph(name, device, model -> model.load(directory, "graph.pt", options));
        } finally {
            Files.deleteIfExists(copy);
            Files.delete(directory);
        }
    }

    /** One of the small graphs beside this class, which {@code src/main/python/make_graphs.py} makes. */
    static TorchGraph small(String name, Device device) {
        try (InputStream graph = Objects.requireNonNull(TorchGraph.class.getResourceAsStream(name + ".pt"))) {
            return new TorchGraph(name, device, model -> model.load(graph));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * The arrays of one call, to be closed after it. What a call makes belongs to its inputs' manager: an array that was
     * not freed with it would stay for ever.
     */
    NDManager arrays() {
        return model.getNDManager().newSubManager();
    }

    /** Runs the graph; on a GPU this returns before the outputs are computed. */
    NDList forward(NDManager arrays, NDArray... inputs) {
        return model.getBlock().forward(new ParameterStore(arrays, false), new NDList(inputs), false);
    }

    /** Native arrays that are still held; between calls there should be none. */
    int heldArrays() {
        return model.getNDManager().getManagedArrays().size();
    }

    @Override
    public void close() {
        model.close();
    }
}
