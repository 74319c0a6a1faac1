package io.upliftstream.job;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.ModelOptions;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.flink.api.common.externalresource.ExternalResourceInfo;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A subtask's GPU, where the device is {@code auto} or {@code cuda} and there are several: one of Flink's external resource
 * {@value #RESOURCE} where the cluster has that, else of all that PyTorch can use.
 *
 * <p>The subtask's index chooses, so that TaskManagers on one machine choose differently; where another subtask of this
 * process has that GPU and a GPU has fewer, the subtask takes the latter. It counts as taken until {@link #close}.
 */
final class GpuShare implements AutoCloseable {
    static final String RESOURCE = "gpu";

    private static final Logger LOG = LoggerFactory.getLogger(GpuShare.class);
    private static final int NONE = -1;
    /** Subtasks of this process by GPU. */
    private static final Map<Integer, Integer> TAKEN = new HashMap<>();

    /** What knows how many GPUs PyTorch can use. */
    @FunctionalInterface
    interface Driver {
        int usableGpus() throws BundleException;
    }

    private final ModelOptions model;
    private int gpu;

    private GpuShare(ModelOptions model, int gpu) {
        this.model = model;
        this.gpu = gpu;
    }

    /**
     * Takes a GPU for a subtask.
     *
     * @param resources that Flink's external resource framework gives this TaskManager
     * @throws StartupException if a resource has no index
     */
    static GpuShare take(
            ModelOptions asked, int subtask, Collection<? extends ExternalResourceInfo> resources, Driver driver)
            throws BundleException {
        if (!asked.device().equals("auto") && !asked.device().equals("cuda")) {
            return new GpuShare(asked, NONE);
        }
        List<Integer> gpus = new ArrayList<>();
        String whose = "that Flink's external resource " + RESOURCE + " names";
        for (ExternalResourceInfo resource : resources) {
            gpus.add(index(resource));
        }
        if (gpus.isEmpty()) {
            int usable = driver.usableGpus();
            if (usable < 2) {
                return new GpuShare(asked, NONE);
            }
            IntStream.range(0, usable).forEach(gpus::add);
            whose = "that PyTorch can use";
        }
        gpus.sort(null);
        int gpu = take(gpus, subtask);
        LOG.info("Subtask {} takes GPU {}, of the GPUs {} {}", subtask, gpu, gpus, whose);
        return new GpuShare(
                new ModelOptions(asked.device() + ":" + gpu, asked.precision(), asked.threads(), asked.maxBatch()),
                gpu);
    }

    private static int index(ExternalResourceInfo resource) {
        String index = resource.getProperty("index").orElse("none");
        if (!index.matches("\\d{1,3}")) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "external resource %s: index %s (expected: a number, as of Flink's GPU plugin)"
                            .formatted(RESOURCE, index));
        }
        return Integer.parseInt(index);
    }

    private static int take(List<Integer> gpus, int subtask) {
        synchronized (TAKEN) {
            int fewest = gpus.stream()
                    .mapToInt(gpu -> TAKEN.getOrDefault(gpu, 0))
                    .min()
                    .orElseThrow();
            List<Integer> free = gpus.stream()
                    .filter(gpu -> TAKEN.getOrDefault(gpu, 0) == fewest)
                    .toList();
            int byIndex = gpus.get(subtask % gpus.size());
            int gpu = free.contains(byIndex) ? byIndex : free.get(0);
            TAKEN.merge(gpu, 1, Integer::sum);
            return gpu;
        }
    }

    /** The options that were asked for, with the GPU in them. */
    ModelOptions model() {
        return model;
    }

    @Override
    public void close() {
        synchronized (TAKEN) {
            TAKEN.computeIfPresent(gpu, (unused, subtasks) -> subtasks > 1 ? subtasks - 1 : null);
            gpu = NONE;
        }
    }
}
