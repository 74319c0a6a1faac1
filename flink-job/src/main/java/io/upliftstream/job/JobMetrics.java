package io.upliftstream.job;

import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;

/**
 * What a subtask reports, under the operator's metric group; the names are an interface. Times of frames are in
 * microseconds, over the last {@value #WINDOW} frames.
 */
final class JobMetrics {
    static final String FRAMES = "frames";
    static final String QUEUE = "queue";
    static final String LATENCY = "latency";
    private static final int WINDOW = 1000;

    private final Counter in;
    private final Counter results;
    private final Counter failures;
    private final Counter dropped;
    private final Counter aheadOfClock;
    private final Histogram decode;
    private final Histogram queue;
    private final Histogram backbone;
    private final Histogram upsample;
    private final Histogram encode;
    private final Histogram age;
    private long blockedNanos;

    JobMetrics(MetricGroup operator, IntSupplier inFlight, int capacity) {
        MetricGroup frames = operator.addGroup(FRAMES);
        in = frames.counter("in");
        results = frames.counter("results");
        failures = frames.counter("failures");
        dropped = frames.counter("dropped");
        aheadOfClock = frames.counter("aheadOfClock");

        MetricGroup inFlightQueue = operator.addGroup(QUEUE);
        inFlightQueue.<Integer, Gauge<Integer>>gauge("inFlight", inFlight::getAsInt);
        inFlightQueue.<Integer, Gauge<Integer>>gauge("capacity", () -> capacity);
        inFlightQueue.<Long, Gauge<Long>>gauge("blockedMillis", () -> TimeUnit.NANOSECONDS.toMillis(blockedNanos));

        MetricGroup latency = operator.addGroup(LATENCY);
        decode = histogram(latency, "decodeMicros");
        queue = histogram(latency, "queueMicros");
        backbone = histogram(latency, "backboneMicros");
        upsample = histogram(latency, "upsampleMicros");
        encode = histogram(latency, "encodeMicros");
        age = histogram(latency, "ageMicros");
    }

    private static Histogram histogram(MetricGroup group, String name) {
        return group.histogram(name, new DescriptiveStatisticsHistogram(WINDOW));
    }

    void frameIn() {
        in.inc();
    }

    /** A frame from the future: the clock that its age is counted from is ahead of this machine's. */
    void frameAheadOfClock() {
        aheadOfClock.inc();
    }

    void blocked(long nanos) {
        blockedNanos += nanos;
    }

    /** @param ageMillis of a result when it is handed to the sink */
    void emitted(FrameOutcome.Result result, long ageMillis) {
        results.inc();
        decode.update(TimeUnit.NANOSECONDS.toMicros(result.timings().decodeNanos()));
        queue.update(TimeUnit.NANOSECONDS.toMicros(result.timings().queueNanos()));
        backbone.update(TimeUnit.NANOSECONDS.toMicros(result.timings().backboneNanos()));
        upsample.update(TimeUnit.NANOSECONDS.toMicros(result.timings().upsampleNanos()));
        encode.update(TimeUnit.NANOSECONDS.toMicros(result.encodeNanos()));
        age.update(TimeUnit.MILLISECONDS.toMicros(ageMillis));
    }

    void emittedFailure() {
        failures.inc();
    }

    void emittedDropped(long frames) {
        dropped.inc(frames);
    }
}
