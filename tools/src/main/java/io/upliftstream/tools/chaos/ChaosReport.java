package io.upliftstream.tools.chaos;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.traffic.Account;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What {@code uplift chaos} found; the fields of {@code chaos.json}.
 *
 * @param seed of order and times of the kills
 * @param mode lossless (read_committed) or live (read_uncommitted)
 * @param framesPerSecond of all cameras together
 * @param checkpointMillis between two checkpoints: what a camera's results stay away for in lossless mode anyway
 * @param kills in the order in which they were made
 * @param holds lossless: every frame ended exactly once, in order per camera; live: at least once
 */
record ChaosReport(
        long seed,
        String mode,
        double seconds,
        double framesPerSecond,
        long checkpointMillis,
        List<Kill> kills,
        Account.Balance balance,
        boolean holds) {

    /**
     * One {@code kill -9}; the process was started again at once.
     *
     * @param second of the run
     * @param victim such as taskmanager-1
     * @param silenceMillis the longest time, until the next kill, for which no new result of some camera could be read: the
     *     worst camera's
     */
    record Kill(double second, String victim, long silenceMillis) {}

    /** Leaves chaos.json and chaos.md. */
    void write(Path directory) throws IOException {
        Files.createDirectories(directory);
        FreshFile.write(
                directory.resolve("chaos.json"),
                JsonMapper.builder()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .build()
                        .writeValueAsBytes(this));
        FreshFile.write(directory.resolve("chaos.md"), table().getBytes(StandardCharsets.UTF_8));
    }

    /** Tables for people, in Markdown: every kill, and what each kind of process comes to. */
    String table() {
        StringBuilder table =
                new StringBuilder("| second | killed | longest silence of a camera |\n| ---: | --- | ---: |\n");
        for (Kill kill : kills) {
            table.append(String.format(
                    Locale.ROOT, "| %.0f | %s | %.1f s |%n", kill.second, kill.victim, kill.silenceMillis / 1e3));
        }
        table.append("\n| killed | times | median silence | longest |\n| --- | ---: | ---: | ---: |\n");
        Map<String, long[]> kinds = kills.stream()
                .collect(Collectors.groupingBy(
                        kill -> kill.victim.replaceFirst("-\\d+$", ""),
                        TreeMap::new,
                        Collectors.collectingAndThen(Collectors.toList(), ChaosReport::silences)));
        kinds.forEach((kind, silences) -> table.append(String.format(
                Locale.ROOT,
                "| %s | %d | %.1f s | %.1f s |%n",
                kind,
                silences.length,
                silences[silences.length / 2] / 1e3,
                silences[silences.length - 1] / 1e3)));
        return table.toString();
    }

    private static long[] silences(List<Kill> kills) {
        return kills.stream().mapToLong(Kill::silenceMillis).sorted().toArray();
    }
}
