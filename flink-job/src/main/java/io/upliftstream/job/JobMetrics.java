package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.SchemaRegistry;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
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
    static final String MODEL = "model";
    static final String VIDEO = "video";
    private static final int WINDOW = 1000;

    /** Cameras with counters of their own; further ones are counted under {@value #OTHER_CAMERAS}. */
    static final int MAX_CAMERAS = 100;

    static final String OTHER_CAMERAS = "other";

    private final MetricGroup frames;
    private final Map<String, CameraCounters> cameras = new HashMap<>();
    private final Map<String, Counter> failuresByReason = new HashMap<>();
    private final MetricGroup model;
    private final Histogram drain;
    private final Counter in;
    private final Counter results;
    private final Counter failures;
    private final Counter quarantined;
    private final Counter dropped;
    private final Counter passedOver;
    private final Counter aheadOfClock;
    private final Counter unrecorded;
    private final Counter packetsDecoded;
    private final Counter packetsReadAgain;
    private final Histogram packet;
    private final Histogram decode;
    private final Histogram queue;
    private final Histogram backbone;
    private final Histogram upsample;
    private final Histogram encode;
    private final Histogram arrivalAge;
    private final Histogram age;
    private final Histogram batchFrames;
    private final Counter swaps;
    private final Counter refusals;
    private final Set<List<String>> models = new HashSet<>();
    private volatile List<String> served = List.of();
    private volatile long loadMillis;
    private long blockedNanos;

    /** Results of a camera, and its drops by reason, from the first one on. */
    private record CameraCounters(MetricGroup group, Counter results, Map<Reason, Counter> dropped) {}

    /**
     * Registers everything but the counters of cameras and the served model.
     *
     * @param capacity most frames at work, for the model that serves
     * @param bytes of what waits or is at work: images, packets and pictures
     * @param maxBytes that these may be
     */
    JobMetrics(
            MetricGroup operator,
            IntSupplier capacity,
            IntSupplier working,
            IntSupplier waiting,
            LongSupplier bytes,
            long maxBytes,
            Supplier<ModelHealth> health) {
        frames = operator.addGroup(FRAMES);
        in = frames.counter("in");
        results = frames.counter("results");
        failures = frames.counter("failures");
        quarantined = frames.counter("quarantined");
        dropped = frames.counter("dropped");
        passedOver = frames.counter("passedOver");
        aheadOfClock = frames.counter("aheadOfClock");
        unrecorded = frames.counter("unrecorded");

        MetricGroup inFlightQueue = operator.addGroup(QUEUE);
        inFlightQueue.<Integer, Gauge<Integer>>gauge("inFlight", working::getAsInt);
        inFlightQueue.<Integer, Gauge<Integer>>gauge("waiting", waiting::getAsInt);
        inFlightQueue.<Long, Gauge<Long>>gauge("bytes", bytes::getAsLong);
        inFlightQueue.<Long, Gauge<Long>>gauge("maxBytes", () -> maxBytes);
        inFlightQueue.<Integer, Gauge<Integer>>gauge("capacity", capacity::getAsInt);
        inFlightQueue.<Long, Gauge<Long>>gauge("blockedMillis", () -> TimeUnit.NANOSECONDS.toMillis(blockedNanos));
        drain = histogram(inFlightQueue, "drainMicros");

        model = operator.addGroup(MODEL);
        model.<Long, Gauge<Long>>gauge("hangs", () -> health.get().hangs());
        model.<Long, Gauge<Long>>gauge("retries", () -> health.get().retries());
        model.<Integer, Gauge<Integer>>gauge("batchLimit", () -> health.get().batchLimit());
        batchFrames = histogram(model, "batchFrames");
        swaps = model.counter("swaps");
        refusals = model.counter("refusals");
        model.<Long, Gauge<Long>>gauge("loadMillis", () -> loadMillis);

        MetricGroup video = operator.addGroup(VIDEO);
        packetsDecoded = video.counter("decoded");
        packetsReadAgain = video.counter("readAgain");

        MetricGroup latency = operator.addGroup(LATENCY);
        packet = histogram(latency, "packetMicros");
        decode = histogram(latency, "decodeMicros");
        queue = histogram(latency, "queueMicros");
        backbone = histogram(latency, "backboneMicros");
        upsample = histogram(latency, "upsampleMicros");
        encode = histogram(latency, "encodeMicros");
        arrivalAge = histogram(latency, "arrivalAgeMicros");
        age = histogram(latency, "ageMicros");
    }

    private static Histogram histogram(MetricGroup group, String name) {
        return group.histogram(name, new DescriptiveStatisticsHistogram(WINDOW));
    }

    /** A gauge for its labels: 1 for what is being served, 0 for what was. */
    void serves(String sha256, String variant) {
        List<String> serves = List.of(sha256, variant);
        served = serves;
        if (models.add(serves)) {
            model.addGroup("sha256", sha256)
                    .addGroup("variant", variant)
                    .<Integer, Gauge<Integer>>gauge("info", () -> served.equals(serves) ? 1 : 0);
        }
    }

    /** A command was answered. */
    void answered(ModelOutcome outcome, long millis) {
        switch (outcome) {
            case ACTIVATED, ROLLED_BACK -> swaps.inc();
            case REFUSED -> refusals.inc();
            default -> {}
        }
        if (millis > 0) {
            loadMillis = millis;
        }
    }

    /** What goes to a claim check, if there is one. */
    void writes(MetricGroup operator, ClaimCheck check) {
        MetricGroup group = operator.addGroup("claimCheck");
        group.<Long, Gauge<Long>>gauge("written", check::written);
        group.<Long, Gauge<Long>>gauge("bytes", check::bytes);
        group.<Long, Gauge<Long>>gauge("retries", check::retries);
        group.<Long, Gauge<Long>>gauge("writeMillis", check::millis);
    }

    /** What is asked of a schema registry, if there is one. */
    void asks(MetricGroup operator, SchemaRegistry registry, BooleanSupplier waiting) {
        MetricGroup group = operator.addGroup("schemaRegistry");
        group.<Long, Gauge<Long>>gauge("requests", registry::requests);
        group.<Long, Gauge<Long>>gauge("failures", registry::failures);
        group.<Integer, Gauge<Integer>>gauge("waiting", () -> waiting.getAsBoolean() ? 1 : 0);
    }

    /** What the decoders of videos are and take, and what waits for them. */
    void decodes(MetricGroup operator, VideoStreams videos) {
        MetricGroup group = operator.addGroup(VIDEO);
        group.<Integer, Gauge<Integer>>gauge("decoders", videos::decoders);
        group.<Long, Gauge<Long>>gauge("decoderBytes", videos::decoderBytes);
        group.<Integer, Gauge<Integer>>gauge("waiting", videos::waiting);
        group.<Long, Gauge<Long>>gauge("waitingBytes", videos::bytes);
    }

    /** A packet whose picture was not chosen, or was a part of another one's. */
    void passedOver() {
        passedOver.inc();
    }

    /** A packet that was read again, after a restart or a silence. */
    void packetReadAgain() {
        packetsReadAgain.inc();
    }

    /** @param nanos that a packet took, with its wait for a thread */
    void packetDecoded(long nanos) {
        packetsDecoded.inc();
        packet.update(TimeUnit.NANOSECONDS.toMicros(nanos));
    }

    /** How many frames came in and how they ended, by the names of the counters. */
    Map<String, Long> totals() {
        return Map.of(
                FRAMES + ".in",
                in.getCount(),
                FRAMES + ".results",
                results.getCount(),
                FRAMES + ".failures",
                failures.getCount(),
                FRAMES + ".dropped",
                dropped.getCount(),
                FRAMES + ".passedOver",
                passedOver.getCount());
    }

    void frameIn() {
        in.inc();
    }

    /** @param ageMillis of a frame when the job reads it */
    void arrived(long ageMillis) {
        arrivalAge.update(TimeUnit.MILLISECONDS.toMicros(ageMillis));
    }

    /** A frame from the future: the clock that its age is counted from is ahead of this machine's. */
    void frameAheadOfClock() {
        aheadOfClock.inc();
    }

    /** A failure, or a run of drops, whose record does not fit its topic. */
    void unrecorded() {
        unrecorded.inc();
    }

    void blocked(long nanos) {
        blockedNanos += nanos;
    }

    /** @param ageMillis of a result when it is handed to the sink */
    void emitted(FrameOutcome.Result result, long ageMillis) {
        results.inc();
        camera(result.frame().cameraId()).results().inc();
        batchFrames.update(result.timings().batchSize());
        decode.update(TimeUnit.NANOSECONDS.toMicros(result.timings().decodeNanos()));
        queue.update(TimeUnit.NANOSECONDS.toMicros(result.timings().queueNanos()));
        backbone.update(TimeUnit.NANOSECONDS.toMicros(result.timings().backboneNanos()));
        upsample.update(TimeUnit.NANOSECONDS.toMicros(result.timings().upsampleNanos()));
        encode.update(TimeUnit.NANOSECONDS.toMicros(result.encodeNanos()));
        age.update(TimeUnit.MILLISECONDS.toMicros(ageMillis));
    }

    /** @param reason one of those that failure records have */
    void emittedFailure(String reason) {
        failures.inc();
        failuresByReason
                .computeIfAbsent(reason, name -> frames.addGroup("reason", name).counter("failures"))
                .inc();
    }

    /** A frame is held back; its failure is counted when it is emitted. */
    void frameQuarantined() {
        quarantined.inc();
    }

    void emitted(FrameOutcome.Dropped outcome) {
        Run run = outcome.run();
        dropped.inc(run.count());
        CameraCounters camera = camera(run.first().cameraId());
        camera.dropped()
                .computeIfAbsent(run.reason(), reason -> camera.group()
                        .addGroup("reason", reason.name())
                        .counter("dropped"))
                .inc(run.count());
    }

    private CameraCounters camera(String id) {
        String counted = cameras.containsKey(id) || cameras.size() < MAX_CAMERAS ? id : OTHER_CAMERAS;
        return cameras.computeIfAbsent(counted, camera -> {
            MetricGroup group = frames.addGroup("camera", camera);
            return new CameraCounters(group, group.counter("results"), new EnumMap<>(Reason.class));
        });
    }

    /** @param nanos that a checkpoint waited for the frames before it */
    void drained(long nanos) {
        drain.update(TimeUnit.NANOSECONDS.toMicros(nanos));
    }
}
