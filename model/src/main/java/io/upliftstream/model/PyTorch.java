package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.util.cuda.CudaUtils;
import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import java.lang.management.MemoryUsage;
import java.util.OptionalLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The PyTorch of this process, which takes its settings once, as it starts. */
final class PyTorch {
    private static final Logger LOG = LoggerFactory.getLogger(PyTorch.class);
    private static final int KEEP_WHAT_IS_SET = 0;

    /**
     * Held by who records launches, forgets some or empties the cache: PyTorch's allocator, one for all GPUs, gives nothing back
     * while a thread records, and says so with an error.
     */
    static final Object ALLOCATOR = new Object();

    /** Threads of one operator on a CPU; 0 until PyTorch runs. */
    private static int threads;

    private PyTorch() {}

    /**
     * Starts PyTorch if it does not run yet.
     *
     * @param wanted threads of one operator on a CPU; 0 to choose, or for those that PyTorch runs with
     */
    static synchronized void start(int wanted) {
        if (threads > 0) {
            if (wanted > 0 && wanted != threads) {
                LOG.warn("PyTorch keeps the {} threads it was started with ({} asked now)", threads, wanted);
            }
            return;
        }
        // Without these DJL asks the network for newer natives and reports its use.
        System.setProperty("ai.djl.offline", "true");
        System.setProperty("OPT_OUT_TRACKING", "true");
        // OpenMP reads these as it is loaded. By default its threads spin for milliseconds while they wait; where
        // anything else runs (Kafka, Flink, decoding) they then take more time than the model itself. Without
        // spinning, every operator of a small model has to wake them. GNU's OpenMP, on Linux, can spin for about 10
        // microseconds; where there are more threads than cores, with ACTIVE alone.
        Function setenv = NativeLibrary.getProcess().getFunction("setenv");
        String policy = Platform.isLinux() ? "ACTIVE" : "PASSIVE";
        setenv.invokeInt(new Object[] {"OMP_WAIT_POLICY", policy, KEEP_WHAT_IS_SET});
        setenv.invokeInt(new Object[] {"GOMP_SPINCOUNT", "1000", KEEP_WHAT_IS_SET});
        int cores = Runtime.getRuntime().availableProcessors();
        int chosen = wanted > 0 ? wanted : Integer.getInteger("ai.djl.pytorch.num_threads", cores - cores / 8);
        System.setProperty("ai.djl.pytorch.num_threads", String.valueOf(chosen));
        Engine unused = Engine.getEngine("PyTorch");
        threads = chosen;
    }

    static synchronized int threads() {
        return threads;
    }

    /** The GPUs that PyTorch can use, once it runs. */
    static int gpus() {
        Engine engine = Engine.getEngine("PyTorch");
        return engine.hasCapability("CUDA") ? Math.max(1, engine.getGpuCount()) : 0;
    }

    /** Whether a device still computes; where its memory is short, it does. */
    static boolean answers(Device device) {
        try (NDManager arrays = NDManager.newBaseManager(device, "PyTorch")) {
            return arrays.create(new float[] {1}).add(1).toFloatArray()[0] == 2;
        } catch (RuntimeException e) {
            return String.valueOf(e.getMessage()).contains("out of memory");
        }
    }

    /** Gives back what PyTorch keeps of the GPUs' memory and does not use; if it refuses, that memory stays with it. */
    static void emptyCache() {
        synchronized (ALLOCATOR) {
            try {
                JniUtils.emptyCudaCache();
            } catch (RuntimeException e) {
                LOG.debug("PyTorch keeps its cache", e);
            }
        }
    }

    /** Bytes of a GPU that nobody uses; empty where CUDA's runtime library, which would say so, is not there. */
    static OptionalLong freeBytes(Device gpu) {
        try {
            MemoryUsage memory = CudaUtils.getGpuMemory(gpu);
            return OptionalLong.of(memory.getMax() - memory.getCommitted());
        } catch (RuntimeException | LinkageError e) {
            LOG.debug("the free memory of {} is not known", gpu, e);
            return OptionalLong.empty();
        }
    }
}
