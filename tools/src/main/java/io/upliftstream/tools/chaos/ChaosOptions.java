package io.upliftstream.tools.chaos;

import io.upliftstream.job.ServingOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/**
 * What {@code uplift chaos} does.
 *
 * @param home the root of a built checkout
 * @param kinds of faults
 * @param count of faults
 * @param longestSeconds of a fault that is undone
 * @param minutes over which the faults are spread; longer if recovery takes it
 * @param framesPerSecond of all cameras together
 * @param seed of the faults, their victims, order and times
 * @param set options of the job, {@code key=value}, bundle included
 */
public record ChaosOptions(
        Path home,
        ServingOptions.Mode mode,
        ClusterShape shape,
        Set<FaultKind> kinds,
        int count,
        int longestSeconds,
        double minutes,
        int cameras,
        double framesPerSecond,
        long seed,
        Path output,
        List<String> set) {}
