package io.upliftstream.tools.bench;

import io.upliftstream.job.ServingOptions;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench load} measures.
 *
 * @param kafka brokers; null for an embedded one
 * @param modes policies, each of which gets every load
 * @param loads in multiples of the measured capacity
 * @param seconds for which frames are published under each load
 * @param serviceFrames that are sent alone, one after the other, to measure the service time
 * @param capacitySeconds for which the job is kept busy to measure the capacity
 * @param sampleSeconds between two looks at the process
 * @param cameras that send
 * @param loud how many times as many frames the first camera sends as each of the others
 * @param packets whether cameras send H.264, a key frame every 32 pictures, rather than JPEGs
 * @param width of the synthetic frames, pixels
 * @param height of the synthetic frames, pixels
 * @param set options of the job, {@code key=value}, model and device included
 */
public record LoadOptions(
        @Nullable String kafka,
        List<ServingOptions.Mode> modes,
        List<Double> loads,
        double seconds,
        int serviceFrames,
        double capacitySeconds,
        double sampleSeconds,
        int cameras,
        int loud,
        boolean packets,
        int width,
        int height,
        Path output,
        List<String> set) {
    private static final int MAX_PARTITIONS = 64;

    /** Of each topic: one for each camera, but no more than a topic of so many cameras would have. */
    int partitions() {
        return Math.min(cameras, MAX_PARTITIONS);
    }
}
