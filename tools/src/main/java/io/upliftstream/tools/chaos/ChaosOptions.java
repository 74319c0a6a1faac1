package io.upliftstream.tools.chaos;

import io.upliftstream.job.ServingOptions;
import java.nio.file.Path;
import java.util.List;

/**
 * What {@code uplift chaos} does.
 *
 * @param home the root of a built checkout
 * @param minutes over which the kills are spread; longer if recovery takes it
 * @param framesPerSecond of all cameras together
 * @param seed of order and times of the kills
 * @param set options of the job, {@code key=value}, bundle included
 */
public record ChaosOptions(
        Path home,
        ServingOptions.Mode mode,
        double minutes,
        int taskManagerKills,
        int jobManagerKills,
        int brokerKills,
        int cameras,
        double framesPerSecond,
        long seed,
        Path output,
        List<String> set) {}
