package io.upliftstream.tools.bench;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * How this process is, at one moment of a run.
 *
 * @param seconds since the first frame was due
 * @param residentMegabytes as the kernel counts them; null where it does not say (only Linux does)
 * @param heapMegabytes in use, garbage included
 * @param threads of the JVM
 * @param open frames that were published and have not ended: the lag
 */
record ProcessSample(double seconds, @Nullable Double residentMegabytes, double heapMegabytes, int threads, long open) {
    private static final Path STATUS = Path.of("/proc/self/status");

    static ProcessSample now(double seconds, long open) {
        return new ProcessSample(
                seconds,
                resident(),
                ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed() / 1048576.0,
                ManagementFactory.getThreadMXBean().getThreadCount(),
                open);
    }

    /** The most memory that was resident since {@link #forgetPeak}, in megabytes; null where the kernel does not say. */
    static @Nullable Double peakResident() {
        return status("VmHWM:");
    }

    /** Lets {@link #peakResident} begin anew; where the kernel cannot, it stays the most since the start. */
    static void forgetPeak() {
        try {
            Files.writeString(Path.of("/proc/self/clear_refs"), "5");
        } catch (IOException e) {
            // Another operating system.
        }
    }

    private static @Nullable Double resident() {
        return status("VmRSS:");
    }

    private static @Nullable Double status(String field) {
        try {
            for (String line : Files.readAllLines(STATUS)) {
                if (line.startsWith(field)) {
                    return Long.parseLong(line.replaceAll("\\D", "")) / 1024.0;
                }
            }
        } catch (IOException e) {
            // Another operating system.
        }
        return null;
    }

    double residentOrNaN() {
        return residentMegabytes == null ? Double.NaN : residentMegabytes;
    }

    /**
     * Growth per minute, by least squares, over all samples but the first sixth, in which a process still warms up; NaN for
     * fewer than two.
     */
    static double slopePerMinute(List<ProcessSample> samples, ToDoubleFunction<ProcessSample> value) {
        List<ProcessSample> warm = samples.subList(samples.size() / 6, samples.size());
        double meanTime =
                warm.stream().mapToDouble(ProcessSample::seconds).average().orElse(Double.NaN);
        double meanValue = warm.stream().mapToDouble(value).average().orElse(Double.NaN);
        double covariance = 0;
        double variance = 0;
        for (ProcessSample sample : warm) {
            double time = sample.seconds - meanTime;
            covariance += time * (value.applyAsDouble(sample) - meanValue);
            variance += time * time;
        }
        return 60 * covariance / variance;
    }
}
