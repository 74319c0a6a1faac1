package io.upliftstream.model;

/**
 * Where and how to run a model.
 *
 * @param device {@code auto} (a GPU where there is one and the bundle has a variant for it, else the CPU), {@code cpu},
 *     {@code cuda} (the first GPU) or {@code cuda:n}; with {@code auto:n}, of several GPUs that one
 * @param precision {@code auto} (the fastest that the device has instructions for), {@code fp32}, {@code bf16},
 *     {@code fp16} or {@code int8} (which {@code auto} never takes: its results differ more)
 * @param threads of one operator inside PyTorch, on a CPU; 0 chooses: all cores, less an eighth that is left for decoding.
 *     PyTorch takes this once per process: the first model decides.
 * @param maxBatch frames per call; 0 chooses: 1 on a CPU, where a batch only adds latency, else the bundle's maximum
 */
public record ModelOptions(String device, String precision, int threads, int maxBatch) {
    /** Options that leave everything to what the machine has. */
    public static final ModelOptions AUTO = new ModelOptions("auto", "auto", 0);

    public ModelOptions {
        if (!device.matches("cpu|(auto|cuda)(:\\d{1,3})?")) {
            throw new IllegalArgumentException("device: " + device + " (expected: auto, cpu, cuda or cuda:n)");
        }
        if (!precision.matches("auto|fp32|bf16|fp16|int8")) {
            throw new IllegalArgumentException(
                    "precision: " + precision + " (expected: auto, fp32, bf16, fp16 or int8)");
        }
        if (threads < 0) {
            throw new IllegalArgumentException("threads: " + threads + " (expected: >= 1, or 0 to choose)");
        }
        if (maxBatch < 0) {
            throw new IllegalArgumentException("batch size: " + maxBatch + " (expected: >= 1, or 0 to choose)");
        }
    }

    public ModelOptions(String device, String precision, int threads) {
        this(device, precision, threads, 0);
    }
}
