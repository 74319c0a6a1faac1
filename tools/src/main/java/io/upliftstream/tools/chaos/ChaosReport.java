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
 * @param seed of the faults, their victims, order and times
 * @param mode lossless (read_committed) or live (read_uncommitted)
 * @param framesPerSecond of all cameras together
 * @param checkpointMillis between two checkpoints: what a camera's results stay away for in lossless mode anyway
 * @param leftOut kinds that this machine has not the means for, and why
 * @param faults in the order in which they were made
 * @param stuck why the run was given up; empty if it was not
 * @param holds lossless: every frame ended exactly once, in order per camera; live: at least once
 */
record ChaosReport(
        long seed,
        String mode,
        double seconds,
        double framesPerSecond,
        long checkpointMillis,
        Map<String, String> leftOut,
        List<Made> faults,
        Account.Balance balance,
        String stuck,
        boolean holds) {

    /**
     * One fault.
     *
     * @param second of the run at which it began
     * @param victim such as taskmanager-1
     * @param other the far end of a cut; else empty
     * @param lastedSeconds until it was undone; 0 for kills, after which the process is started again at once
     * @param silenceMillis the longest time from its beginning to the next fault, for which no new result of some camera
     *     could be read: the worst camera's
     * @param recoveryMillis from its end until of every camera a result of a frame could be read that was taken after it
     * @param ended processes that ended by themselves and were started again
     */
    record Made(
            double second,
            String kind,
            String victim,
            String other,
            double lastedSeconds,
            long silenceMillis,
            long recoveryMillis,
            List<String> ended) {}

    /** Leaves chaos.json, chaos.md, chaos-samples.csv and chaos.png. */
    void write(Path directory, List<Watch.Look> looks) throws IOException {
        Files.createDirectories(directory);
        FreshFile.write(
                directory.resolve("chaos.json"),
                JsonMapper.builder()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .build()
                        .writeValueAsBytes(this));
        FreshFile.write(directory.resolve("chaos.md"), table().getBytes(StandardCharsets.UTF_8));
        FreshFile.write(directory.resolve("chaos-samples.csv"), csv(looks).getBytes(StandardCharsets.UTF_8));
        ChaosPlot.write(this, looks, directory.resolve("chaos.png"));
    }

    private static String csv(List<Watch.Look> looks) {
        return looks.stream()
                .map(look -> String.format(
                        Locale.ROOT,
                        "%.1f,%.2f,%d,%.1f%n",
                        look.second(),
                        look.resultsPerSecond(),
                        look.open(),
                        look.checkpointAgeSeconds()))
                .collect(Collectors.joining("", "second,resultsPerSecond,open,checkpointAgeSeconds\n", ""));
    }

    /** Tables for people, in Markdown: every fault, and what each kind comes to. */
    String table() {
        StringBuilder table = new StringBuilder(
                """
                | second | fault | at | lasted | silence | recovery | ended by itself |
                | ---: | --- | --- | ---: | ---: | ---: | --- |
                """);
        for (Made made : faults) {
            table.append(String.format(
                    Locale.ROOT,
                    "| %.0f | %s | %s | %.0f s | %.1f s | %.1f s | %s |%n",
                    made.second,
                    made.kind,
                    made.other.isEmpty() ? made.victim : made.victim + ", " + made.other,
                    made.lastedSeconds,
                    made.silenceMillis / 1e3,
                    made.recoveryMillis / 1e3,
                    String.join(", ", made.ended)));
        }
        table.append(
                """

                | fault | times | recovery, median | longest | silence, longest |
                | --- | ---: | ---: | ---: | ---: |
                """);
        faults.stream()
                .collect(Collectors.groupingBy(Made::kind, TreeMap::new, Collectors.toList()))
                .forEach((kind, made) -> {
                    long[] recoveries = made.stream()
                            .mapToLong(Made::recoveryMillis)
                            .sorted()
                            .toArray();
                    table.append(String.format(
                            Locale.ROOT,
                            "| %s | %d | %.1f s | %.1f s | %.1f s |%n",
                            kind,
                            made.size(),
                            recoveries[recoveries.length / 2] / 1e3,
                            recoveries[recoveries.length - 1] / 1e3,
                            made.stream().mapToLong(Made::silenceMillis).max().orElse(0) / 1e3));
                });
        return table.toString();
    }
}
