package io.upliftstream.tools.bench;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.traffic.Account;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench load} found; the fields of {@code load.json}.
 *
 * <p>Latency is the time from which a frame was due at its camera to the moment when the broker had appended the last of
 * its results. Under exactly-once delivery readers see it at the next checkpoint, which is not counted.
 *
 * @param processors that publisher, broker, job and subscriber share
 * @param model name and version of the bundle
 * @param variant of the bundle that ran
 * @param capacity frames per second that the job does when all of them are waiting; the first tenth is not counted
 * @param service latency of frames that are alone: each is due when the one before has ended
 * @param maxAgeMillis live mode's
 * @param runs in the order in which they were made
 */
record LoadReport(
        int processors,
        String model,
        String variant,
        double capacity,
        Latency service,
        long maxAgeMillis,
        List<Run> runs) {

    /** Percentiles in milliseconds; null if no frame had a result. */
    record Latency(@Nullable Double p50, @Nullable Double p95, @Nullable Double p99, @Nullable Double max) {
        static Latency of(Account account) {
            return new Latency(at(account, 50), at(account, 95), at(account, 99), at(account, 100));
        }

        private static @Nullable Double at(Account account, double percentile) {
            double millis = account.latencyMillis(percentile);
            return Double.isNaN(millis) ? null : round(millis);
        }
    }

    /**
     * One policy under one load.
     *
     * @param mode lossless or live
     * @param load in multiples of the capacity
     * @param offered frames per second
     * @param throughput results per second, from when the first frame was due to the last end of a frame
     * @param boundMillis live: max-age and three times the p99 service time, below which p99 should be; else null
     * @param exactlyOnce whether every frame ended, once and in order
     * @param served share of its frames that have results, by camera
     * @param drops frames that were let go, by reason
     * @param maxOpen the most frames that were published and had not ended
     * @param residentSlope growth of the resident memory in MB per minute, after the first sixth of the run; null if unknown
     * @param threadsSlope growth of the number of threads per minute, likewise
     * @param samples of the process
     */
    record Run(
            String mode,
            double load,
            double offered,
            Account.Balance balance,
            boolean exactlyOnce,
            double throughput,
            Latency latency,
            @Nullable Double boundMillis,
            Map<String, Double> served,
            Map<String, Long> drops,
            long maxOpen,
            @Nullable Double residentSlope,
            @Nullable Double threadsSlope,
            List<ProcessSample> samples) {

        double dropRate() {
            return (double) balance.drops() / balance.published();
        }

        /** What a run must not show: frames without an end or with two, or drops in lossless mode. */
        boolean accountHolds() {
            return exactlyOnce && (mode.equals("live") || balance.drops() == 0);
        }
    }

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .defaultPropertyInclusion(JsonInclude.Value.ALL_NON_NULL)
            .build();

    /** Writes {@code load.json}, {@code load.csv}, {@code load-samples.csv} and {@code load.png}. */
    void write(Path directory) throws IOException {
        Files.createDirectories(directory);
        JSON.writeValue(directory.resolve("load.json").toFile(), this);
        List<String> lines = new ArrayList<>();
        lines.add("mode,load,offered_fps,published,results,failures,drops,lost,repeated,misordered,exactly_once,"
                + "throughput_fps,p50_ms,p95_ms,p99_ms,max_ms,bound_ms,drop_rate,max_open,resident_mb_per_min");
        List<String> samples = new ArrayList<>();
        samples.add("mode,load,seconds,resident_mb,heap_mb,threads,open");
        for (Run run : runs) {
            Account.Balance balance = run.balance;
            lines.add(row(
                    run.mode,
                    run.load,
                    run.offered,
                    balance.published(),
                    balance.results(),
                    balance.failures(),
                    balance.drops(),
                    balance.lost(),
                    balance.repeated(),
                    balance.misordered(),
                    run.exactlyOnce,
                    run.throughput,
                    run.latency.p50,
                    run.latency.p95,
                    run.latency.p99,
                    run.latency.max,
                    run.boundMillis,
                    run.dropRate(),
                    run.maxOpen,
                    run.residentSlope));
            for (ProcessSample sample : run.samples) {
                samples.add(row(
                        run.mode,
                        run.load,
                        sample.seconds(),
                        sample.residentMegabytes(),
                        sample.heapMegabytes(),
                        sample.threads(),
                        sample.open()));
            }
        }
        Files.write(directory.resolve("load.csv"), lines);
        Files.write(directory.resolve("load-samples.csv"), samples);
        LoadPlot.write(this, directory.resolve("load.png"));
    }

    private static String row(@Nullable Object... cells) {
        List<String> texts = new ArrayList<>();
        for (Object cell : cells) {
            texts.add(
                    cell == null
                            ? ""
                            : cell instanceof Double number
                                    ? String.format(Locale.ROOT, "%.3f", number)
                                    : cell.toString());
        }
        return String.join(",", texts);
    }

    static double round(double value) {
        return Math.round(value * 1000) / 1000.0;
    }
}
