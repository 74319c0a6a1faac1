package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.DropRuns.Run;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.model.ModelHealth;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.SchemaRegistry;
import java.net.URI;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.SimpleCounter;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.junit.jupiter.api.Test;

class JobMetricsTest {
    private final Map<String, Metric> registered = new LinkedHashMap<>();
    private final JobMetrics metrics = new JobMetrics(
            new RecordingGroup("", registered),
            () -> 6,
            () -> 3,
            () -> 2,
            () -> 4096L,
            1 << 20,
            () -> new ModelHealth(1, 2, 4));

    @Test
    void namesAreAnInterface() {
        assertThat(registered.keySet())
                .containsExactly(
                        "frames.in",
                        "frames.results",
                        "frames.failures",
                        "frames.quarantined",
                        "frames.dropped",
                        "frames.passedOver",
                        "frames.aheadOfClock",
                        "frames.unrecorded",
                        "queue.inFlight",
                        "queue.waiting",
                        "queue.bytes",
                        "queue.maxBytes",
                        "queue.capacity",
                        "queue.blockedMillis",
                        "queue.drainMicros",
                        "model.hangs",
                        "model.retries",
                        "model.batchLimit",
                        "model.batchFrames",
                        "model.swaps",
                        "model.refusals",
                        "model.loadMillis",
                        "video.decoded",
                        "video.readAgain",
                        "latency.packetMicros",
                        "latency.decodeMicros",
                        "latency.queueMicros",
                        "latency.backboneMicros",
                        "latency.upsampleMicros",
                        "latency.encodeMicros",
                        "latency.arrivalAgeMicros",
                        "latency.ageMicros");
    }

    @Test
    void aRegistryHasItsOwn() {
        metrics.asks(
                new RecordingGroup("", registered),
                new SchemaRegistry(URI.create("http://127.0.0.1:1"), Duration.ofSeconds(5), null, null),
                () -> true);
        assertThat(gauge("schemaRegistry.requests")).isEqualTo(0L);
        assertThat(gauge("schemaRegistry.failures")).isEqualTo(0L);
        assertThat(gauge("schemaRegistry.waiting")).isEqualTo(1);
    }

    @Test
    void countsFramesAndTheirTimes() throws FrameProblem {
        Frame frame = new FrameParser(InputFormat.AUTO, 1000).parse(TestFrames.cameraFrame("north", 1));
        metrics.serves("c0ffee", "cpu-fp32");
        metrics.frameIn();
        metrics.frameIn();
        metrics.arrived(20);
        metrics.emitted(
                new FrameOutcome.Result(List.of(), frame, TestFrames.result().timings(), 5_000_000, 0), 80);
        metrics.emittedFailure("CORRUPT_IMAGE");
        metrics.packetDecoded(9_000_000);
        metrics.packetReadAgain();
        metrics.frameQuarantined();
        metrics.unrecorded();
        metrics.emitted(dropped("north", 7));
        metrics.drained(3_000_000);
        metrics.blocked(2_000_000);

        assertThat(count("frames.in")).isEqualTo(2);
        assertThat(count("frames.results")).isEqualTo(1);
        assertThat(count("frames.camera.north.results")).isEqualTo(1);
        assertThat(count("frames.failures")).isEqualTo(1);
        assertThat(count("frames.reason.CORRUPT_IMAGE.failures")).isEqualTo(1);
        assertThat(count("video.decoded")).isEqualTo(1);
        assertThat(count("video.readAgain")).isEqualTo(1);
        assertThat(median("latency.packetMicros")).isEqualTo(9000);
        assertThat(gauge("queue.maxBytes")).isEqualTo(1L << 20);
        assertThat(count("frames.quarantined")).isEqualTo(1);
        assertThat(count("frames.dropped")).isEqualTo(7);
        assertThat(count("frames.unrecorded")).isEqualTo(1);
        assertThat(gauge("queue.inFlight")).isEqualTo(3);
        assertThat(gauge("queue.waiting")).isEqualTo(2);
        assertThat(gauge("queue.bytes")).isEqualTo(4096L);
        assertThat(median("queue.drainMicros")).isEqualTo(3000);
        assertThat(gauge("model.hangs")).isEqualTo(1L);
        assertThat(gauge("model.retries")).isEqualTo(2L);
        assertThat(gauge("model.batchLimit")).isEqualTo(4);
        assertThat(gauge("queue.capacity")).isEqualTo(6);
        assertThat(gauge("queue.blockedMillis")).isEqualTo(2L);
        assertThat(median("latency.decodeMicros")).isEqualTo(1000);
        assertThat(median("latency.queueMicros")).isEqualTo(2000);
        assertThat(median("latency.backboneMicros")).isEqualTo(3000);
        assertThat(median("latency.upsampleMicros")).isEqualTo(4000);
        assertThat(median("latency.encodeMicros")).isEqualTo(5000);
        assertThat(median("latency.arrivalAgeMicros")).isEqualTo(20_000);
        assertThat(median("latency.ageMicros")).isEqualTo(80_000);
        assertThat(median("model.batchFrames"))
                .isEqualTo(TestFrames.result().timings().batchSize());
        assertThat(gauge("model.sha256.c0ffee.variant.cpu-fp32.info")).isEqualTo(1);
    }

    @Test
    void countsByCameraAndReasonForABoundedNumberOfCameras() throws FrameProblem {
        for (int camera = 0; camera < 2 * JobMetrics.MAX_CAMERAS; camera++) {
            metrics.emitted(dropped("camera-" + camera, 1));
            metrics.emitted(dropped("camera-" + camera, 2));
        }
        assertThat(count("frames.dropped")).isEqualTo(6 * JobMetrics.MAX_CAMERAS);
        assertThat(count("frames.camera.camera-7.reason.MAX_AGE.dropped")).isEqualTo(3);
        assertThat(count("frames.camera.other.reason.MAX_AGE.dropped")).isEqualTo(3 * JobMetrics.MAX_CAMERAS);
        assertThat(registered.keySet().stream().filter(name -> name.endsWith("MAX_AGE.dropped")))
                .hasSize(JobMetrics.MAX_CAMERAS + 1);
    }

    @Test
    void countsWhatBecameOfCommands() {
        metrics.answered(ModelOutcome.ACTIVATED, 1500);
        metrics.answered(ModelOutcome.REFUSED, 20);
        metrics.answered(ModelOutcome.SCHEDULED, 700);
        metrics.answered(ModelOutcome.ACTIVATED, 0); // the scheduled one's first frame
        metrics.answered(ModelOutcome.ROLLED_BACK, 0); // one that was given up
        metrics.answered(ModelOutcome.CHANGED, 0);
        metrics.answered(ModelOutcome.SERVING, 0);

        assertThat(count("model.swaps")).isEqualTo(3);
        assertThat(count("model.refusals")).isEqualTo(1);
        assertThat(gauge("model.loadMillis")).isEqualTo(700L);
    }

    private static FrameOutcome.Dropped dropped(String camera, int count) throws FrameProblem {
        Frame frame = new FrameParser(InputFormat.AUTO, 1000).parse(TestFrames.cameraFrame(camera, 1));
        return new FrameOutcome.Dropped(
                List.of(new OutputMessage("dropped", null, new byte[0], TraceContext.NONE)),
                new Run(Reason.MAX_AGE, frame, frame, count, 0));
    }

    private long count(String name) {
        return get(name, Counter.class).getCount();
    }

    private Object gauge(String name) {
        return get(name, Gauge.class).getValue();
    }

    private double median(String name) {
        return get(name, Histogram.class).getStatistics().getQuantile(0.5);
    }

    private <M extends Metric> M get(String name, Class<M> type) {
        return type.cast(Objects.requireNonNull(registered.get(name)));
    }

    /** Remembers what is registered, by its name with the groups before it. */
    private static final class RecordingGroup extends UnregisteredMetricsGroup {
        private final String prefix;
        private final Map<String, Metric> registered;

        RecordingGroup(String prefix, Map<String, Metric> registered) {
            this.prefix = prefix;
            this.registered = registered;
        }

        @Override
        public MetricGroup addGroup(String name) {
            return new RecordingGroup(prefix + name + ".", registered);
        }

        @Override
        public MetricGroup addGroup(String key, String value) {
            return addGroup(key).addGroup(value);
        }

        @Override
        public Counter counter(String name) {
            return add(name, new SimpleCounter());
        }

        @Override
        public <T, G extends Gauge<T>> G gauge(String name, G gauge) {
            return add(name, gauge);
        }

        @Override
        public <H extends Histogram> H histogram(String name, H histogram) {
            return add(name, histogram);
        }

        private <M extends Metric> M add(String name, M metric) {
            registered.put(prefix + name, metric);
            return metric;
        }
    }
}
