package io.upliftstream.tools.bench;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.picture.FreshFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench scale} found; the fields of {@code scale.json}.
 *
 * <p>Latency is the time from which a frame was due at its camera to the moment when the broker had appended the last of
 * its results. Figures of several rounds are medians.
 *
 * @param processors that job, broker, publisher and subscriber share
 * @param engine of the job: idle, or name and version of the bundle
 * @param image size and bytes of a frame, such as 320x180, 9 KB
 * @param heapKilobytesPerCamera by which the live heap of the TaskManagers grows from the fewest to the most cameras; null
 *     for one number of cameras
 */
record ScaleReport(
        int processors,
        String engine,
        String image,
        int rounds,
        double seconds,
        @Nullable Double heapKilobytesPerCamera,
        List<Row> rows,
        List<Takeover> takeovers) {

    /** What a run was for: one rate of all cameras together, one of each camera, or more than the job can take. */
    enum Load {
        SHARED,
        EACH,
        OVERLOAD
    }

    /**
     * How frames went through; of several rounds the medians.
     *
     * @param resultsPerSecond from when the first frame was due to the last result
     * @param p50 milliseconds; null if no frame had a result
     * @param p99 the same
     * @param behindMillis from when the last frame was due to the last result; null likewise
     * @param cpuMillis processor time of the TaskManagers for each frame that was published
     * @param brokerCpuMillis that of the broker
     * @param benchCpuMillis that of publisher, subscriber and account
     * @param fairness Jain's index over the shares of their frames that cameras have results of
     * @param dropShare of the frames that were let go
     */
    record Flow(
            double resultsPerSecond,
            @Nullable Double p50,
            @Nullable Double p99,
            @Nullable Double behindMillis,
            double cpuMillis,
            double brokerCpuMillis,
            double benchCpuMillis,
            double fairness,
            double dropShare) {
        private static Flow median(List<Flow> rounds) {
            return new Flow(
                    median(rounds, Flow::resultsPerSecond),
                    medianOfSome(rounds, Flow::p50),
                    medianOfSome(rounds, Flow::p99),
                    medianOfSome(rounds, Flow::behindMillis),
                    median(rounds, Flow::cpuMillis),
                    median(rounds, Flow::brokerCpuMillis),
                    median(rounds, Flow::benchCpuMillis),
                    median(rounds, Flow::fairness),
                    median(rounds, Flow::dropShare));
        }

        private static double median(List<Flow> rounds, ToDoubleFunction<Flow> value) {
            return LoadReport.round(
                    Turns.median(rounds.stream().mapToDouble(value).toArray()));
        }

        /** That of the rounds which have a value; null if none has. */
        private static @Nullable Double medianOfSome(List<Flow> rounds, Function<Flow, @Nullable Double> value) {
            double[] some = rounds.stream()
                    .map(value)
                    .filter(Objects::nonNull)
                    .mapToDouble(Double::doubleValue)
                    .toArray();
            return some.length == 0 ? null : LoadReport.round(Turns.median(some));
        }
    }

    /**
     * What the job is then; of several rounds after the first, as a job forgets no camera's metrics.
     *
     * @param heapMegabytes of the TaskManagers after a full collection
     * @param metrics that Flink reports for the job's tasks
     * @param cameraMetrics those of single cameras
     * @param metricsKilobytes of their names
     * @param checkpointBytes of the largest checkpoint meanwhile; null if there was none
     * @param checkpointMillis of the longest, from trigger to end; null likewise
     */
    record Footprint(
            double heapMegabytes,
            int metrics,
            int cameraMetrics,
            double metricsKilobytes,
            @Nullable Long checkpointBytes,
            @Nullable Long checkpointMillis) {}

    /**
     * One load on one job.
     *
     * @param offered frames per second of all cameras
     * @param costRatio processor time of the TaskManagers over that with ten cameras, or the fewest, in the same round, the
     *     median; null for these and where there are no turns
     * @param accountHolds whether every frame ended, once and in order, and all but those that live mode let go with results
     */
    record Row(
            Load load,
            int cameras,
            int partitions,
            int taskManagers,
            double offered,
            @Nullable Double costRatio,
            Flow flow,
            Footprint footprint,
            boolean accountHolds) {
        /** @param costRatios of the rounds; empty for none */
        static Row median(List<Row> rounds, List<Double> costRatios) {
            Row first = rounds.get(0);
            return new Row(
                    first.load,
                    first.cameras,
                    first.partitions,
                    first.taskManagers,
                    first.offered,
                    costRatios.isEmpty()
                            ? null
                            : LoadReport.round(Turns.median(costRatios.stream()
                                    .mapToDouble(Double::doubleValue)
                                    .toArray())),
                    Flow.median(rounds.stream().map(Row::flow).toList()),
                    first.footprint,
                    rounds.stream().allMatch(Row::accountHolds));
        }
    }

    /**
     * A job that was stopped with a savepoint and started from it, while frames waited.
     *
     * @param backlog frames that waited, as many of each camera
     * @param firstMillis from the request to start to the first result on its topic; null if there was none
     * @param allMillis from the request to the last result; null likewise
     * @param resultsPerSecond between these two, the first not counted; null of fewer than two results
     */
    record Takeover(
            int cameras,
            int partitions,
            int taskManagers,
            long backlog,
            @Nullable Double firstMillis,
            @Nullable Double allMillis,
            @Nullable Double resultsPerSecond,
            boolean accountHolds) {}

    boolean accountsHold() {
        return rows.stream().allMatch(Row::accountHolds) && takeovers.stream().allMatch(Takeover::accountHolds);
    }

    /** Leaves scale.json, scale.md and scale.png. */
    void write(Path directory) throws IOException {
        FreshFile.write(
                directory.resolve("scale.json"),
                JsonMapper.builder()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .build()
                        .writeValueAsBytes(this));
        FreshFile.write(directory.resolve("scale.md"), table().getBytes(StandardCharsets.UTF_8));
        ScalePlot.write(this, directory.resolve("scale.png"));
    }

    /** Tables for people, in Markdown. */
    String table() {
        StringBuilder table = new StringBuilder(String.format(
                Locale.ROOT,
                """
                Engine %s, frames of %s, %d rounds of %.0f s, %d processors%s.

                | load | cameras | partitions | TaskManagers | frames/s | results/s | p50 | p99 | behind | CPU per frame | \
                ratio | broker | bench | heap | metrics | fairness | checkpoint | account |
                | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |
                """,
                engine,
                image,
                rounds,
                seconds,
                processors,
                heapKilobytesPerCamera == null
                        ? ""
                        : String.format(Locale.ROOT, ", heap %.1f KB per camera", heapKilobytesPerCamera)));
        for (Row row : rows) {
            table.append(String.format(
                    Locale.ROOT,
                    "| %s | %d | %d | %d | %.0f | %.0f | %s | %s | %s | %.2f ms | %s | %.2f ms | %.2f ms | %.1f MB |"
                            + " %d, %.0f KB | %.3f | %s | %s |%n",
                    row.load.name().toLowerCase(Locale.ROOT),
                    row.cameras,
                    row.partitions,
                    row.taskManagers,
                    row.offered,
                    row.flow.resultsPerSecond,
                    text("%.0f ms", row.flow.p50),
                    text("%.0f ms", row.flow.p99),
                    text("%.0f ms", row.flow.behindMillis),
                    row.flow.cpuMillis,
                    row.costRatio == null ? "" : String.format(Locale.ROOT, "%.2f", row.costRatio),
                    row.flow.brokerCpuMillis,
                    row.flow.benchCpuMillis,
                    row.footprint.heapMegabytes,
                    row.footprint.metrics,
                    row.footprint.metricsKilobytes,
                    row.flow.fairness,
                    row.footprint.checkpointBytes == null
                            ? ""
                            : row.footprint.checkpointBytes + " B, " + row.footprint.checkpointMillis + " ms",
                    account(row.accountHolds)));
        }
        table.append(
                """

                | start with a backlog | partitions | TaskManagers | frames | first result | all results | results/s | account |
                | --: | --: | --: | --: | --: | --: | --: | --- |
                """);
        for (Takeover takeover : takeovers) {
            table.append(String.format(
                    Locale.ROOT,
                    "| %d cameras | %d | %d | %d | %s | %s | %s | %s |%n",
                    takeover.cameras,
                    takeover.partitions,
                    takeover.taskManagers,
                    takeover.backlog,
                    text("%.0f ms", takeover.firstMillis),
                    text("%.0f ms", takeover.allMillis),
                    text("%.0f", takeover.resultsPerSecond),
                    account(takeover.accountHolds)));
        }
        return table.toString();
    }

    private static String account(boolean holds) {
        return holds ? "holds" : "does NOT hold";
    }

    /** A figure in words, of which there may be none. */
    static String text(String format, @Nullable Double value) {
        return value == null ? "–" : String.format(Locale.ROOT, format, value);
    }
}
