package io.upliftstream.tools.bench;

import com.sun.management.OperatingSystemMXBean;
import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.model.DenseResult;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.Timings;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;

/**
 * What the stream around a model costs: from topic to topic with an engine that only decodes, beside a plain loop that
 * decodes and encodes the same frames. The topic is filled beforehand; broker and job share the process.
 */
public final class PipelineBench {
    private static final int IMAGES = 16;
    private static final long POLL_MILLIS = 20;
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    /**
     * What to measure.
     *
     * @param frames of a round; half as many more warm it up
     * @param width of a frame in pixels
     * @param height of a frame in pixels
     * @param kilobytes of a frame
     * @param seconds of half load, after as many that warm it up
     * @param bundle that the settings name; it is not run
     * @param set options of the job, {@code key=value}
     * @param against further options of a second job, which takes turns with the first; empty for none
     */
    public record Options(
            int rounds,
            int frames,
            int width,
            int height,
            double kilobytes,
            double seconds,
            Path bundle,
            List<String> set,
            List<String> against) {}

    /** How a round went. */
    private record Round(double framesPerSecond, double cpuMillis) {}

    private final Options options;
    private final EmbeddedKafka kafka;
    private final Admin admin;
    private final EmbeddedFlink flink;
    private final List<Shot> images;
    private int jobs;

    private PipelineBench(Options options, EmbeddedKafka kafka, Admin admin, EmbeddedFlink flink) throws IOException {
        this.options = options;
        this.kafka = kafka;
        this.admin = admin;
        this.flink = flink;
        images = images(options);
    }

    /** Measures, and says on the way what it does. */
    public static PipelineReport run(Options options, Consumer<String> say) throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()));
                EmbeddedFlink flink = new EmbeddedFlink(new Configuration(), 1)) {
            return new PipelineBench(options, kafka, admin, flink).measure(say);
        }
    }

    /** Frames of about the wanted size in bytes. */
    private static List<Shot> images(Options options) throws IOException {
        double low = 0.05;
        double high = 1;
        while (high - low > 0.01) {
            double quality = (low + high) / 2;
            if (shots(options, quality, 1).get(0).image().length > 1000 * options.kilobytes()) {
                high = quality;
            } else {
                low = quality;
            }
        }
        return shots(options, low, IMAGES);
    }

    private static List<Shot> shots(Options options, double quality, int count) throws IOException {
        try (SyntheticCamera street =
                new SyntheticCamera("bench", 20_900, options.width(), options.height(), 10, quality)) {
            return street.take(count);
        }
    }

    private PipelineReport measure(Consumer<String> say) throws Exception {
        FrameTopics full = new FrameTopics("full-", 1);
        full.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
        int all = options.frames() * 3 / 2;
        say.accept("filling a topic with " + all + " frames");
        try (OpenLoop cameras = cameras(full)) {
            cameras.publish(Double.POSITIVE_INFINITY, all);
        }
        MaskEncoding masks = MaskEncoding.valueOf(
                settings(full, full, List.of()).get(OutputOptions.MASK_FORMAT).name());
        loop(masks);
        List<Round> streams = new ArrayList<>();
        List<Round> loops = new ArrayList<>();
        List<Double> added = new ArrayList<>();
        List<Double> ratios = new ArrayList<>();
        List<Double> cpuRatios = new ArrayList<>();
        for (int i = 0; i < options.rounds(); i++) {
            boolean first = i % 2 == 0; // so that neither always comes after the loop
            @Nullable Round other = first || options.against().isEmpty() ? null : stream(full, all, options.against());
            Round stream = stream(full, all, List.of());
            if (first && !options.against().isEmpty()) {
                other = stream(full, all, options.against());
            }
            Round loop = loop(masks);
            if (other != null) {
                ratios.add(other.framesPerSecond() / stream.framesPerSecond());
                cpuRatios.add(other.cpuMillis() / stream.cpuMillis());
                say.accept(String.format(
                        Locale.ROOT,
                        "with %s: %.0f frames/s, %.2f ms of processor time each",
                        options.against(),
                        other.framesPerSecond(),
                        other.cpuMillis()));
            }
            streams.add(stream);
            loops.add(loop);
            added.add(stream.cpuMillis() - loop.cpuMillis());
            say.accept(String.format(
                    Locale.ROOT,
                    "round %d: topic to topic %.0f frames/s, %.2f ms of processor time each; loop %.0f frames/s, %.2f ms",
                    i + 1,
                    stream.framesPerSecond(),
                    stream.cpuMillis(),
                    loop.framesPerSecond(),
                    loop.cpuMillis()));
        }
        double rate = median(streams.stream().map(Round::framesPerSecond).toList());
        say.accept("half load for " + options.seconds() + " s");
        double[] outside = halfLoad(rate / 2);
        return new PipelineReport(
                Runtime.getRuntime().availableProcessors(),
                options.frames(),
                LoadReport.round(images.stream()
                                .mapToInt(shot -> shot.image().length)
                                .average()
                                .orElseThrow()
                        / 1e3),
                options.width() + "x" + options.height(),
                LoadReport.round(rate),
                LoadReport.round(
                        median(loops.stream().map(Round::framesPerSecond).toList())),
                LoadReport.round(median(streams.stream().map(Round::cpuMillis).toList())),
                LoadReport.round(median(loops.stream().map(Round::cpuMillis).toList())),
                LoadReport.round(median(added)),
                LoadReport.round(rate / 2),
                percentile(outside, 50),
                percentile(outside, 95),
                ratios.isEmpty() ? null : LoadReport.round(median(ratios)),
                ratios.isEmpty() ? null : LoadReport.round(median(cpuRatios)));
    }

    private OpenLoop cameras(FrameTopics topics) {
        return new OpenLoop(kafka.bootstrapServers(), topics, List.of("camera"), images, new Account(Set.of()));
    }

    /** The settings of a job that reads one run's input topic and writes to topics of its own. */
    private JobSettings settings(FrameTopics input, FrameTopics output, List<String> more) {
        List<String> assignments = new ArrayList<>();
        assignments.add(
                ServingOptions.MODEL_BUNDLE.key() + "=" + options.bundle().toAbsolutePath());
        assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + kafka.bootstrapServers());
        assignments.add("restart-strategy.type=disable");
        assignments.addAll(output.assignments());
        assignments.add(InputOptions.INPUT_TOPIC.key() + "=" + input.input());
        assignments.addAll(options.set());
        assignments.addAll(more);
        return JobSettings.load(null, Map.of(), assignments);
    }

    private EmbeddedFlink.Job submit(JobSettings settings) throws IOException {
        StreamExecutionEnvironment env = flink.environment();
        DenseVisionJob.definePipeline(env, settings, (unused, subtask) -> new IdleEngine());
        return flink.submit(env);
    }

    private FrameTopics outputs() throws IOException {
        FrameTopics topics = new FrameTopics("run-" + jobs++ + "-", 1);
        topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
        return topics;
    }

    /** The job over the full topic: the first third of the frames warms it up. */
    private Round stream(FrameTopics full, int all, List<String> more) throws IOException, InterruptedException {
        FrameTopics output = outputs();
        EmbeddedFlink.Job job = submit(settings(full, output, more));
        try {
            long first = await(job, output, all - options.frames());
            long start = System.nanoTime();
            long cpu = cpuNanos();
            long last = await(job, output, all - 1);
            return new Round(
                    (last - first) / ((System.nanoTime() - start) / 1e9), (cpuNanos() - cpu) / 1e6 / (last - first));
        } finally {
            job.cancel();
            output.delete(admin);
        }
    }

    /** Waits for so many records on the segmentation topic, and says how many there are then. */
    private long await(EmbeddedFlink.Job job, FrameTopics output, long records)
            throws IOException, InterruptedException {
        TopicPartition partition = new TopicPartition(output.outputs().get(0), 0);
        long since = System.nanoTime();
        while (true) {
            long end;
            try {
                end = admin.listOffsets(Map.of(partition, OffsetSpec.latest()))
                        .partitionResult(partition)
                        .get()
                        .offset();
            } catch (ExecutionException e) {
                throw new IOException("the end of " + partition + ": " + e.getMessage(), e);
            }
            if (end >= records) {
                return end;
            }
            job.throwIfEnded();
            if (System.nanoTime() - since > PATIENCE.toNanos()) {
                throw new IOException("%d records within %s (expected: %d)".formatted(end, PATIENCE, records));
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** What a program without Kafka and Flink would do, on one thread. */
    private Round loop(MaskEncoding masks) throws Exception {
        int frames = options.frames();
        long start = System.nanoTime();
        long cpu = cpuNanos();
        long bytes = 0;
        for (int i = 0; i < frames; i++) {
            DenseResult result = IdleEngine.decode(images.get(i % images.size()).image(), System.nanoTime());
            bytes += encode(result, masks, i).length;
        }
        if (bytes == 0) {
            throw new IllegalStateException("no records");
        }
        return new Round(frames / ((System.nanoTime() - start) / 1e9), (cpuNanos() - cpu) / 1e6 / frames);
    }

    private static byte[] encode(DenseResult result, MaskEncoding masks, int sequence) {
        byte[] labels = new byte[IdleEngine.SIDE * IdleEngine.SIDE];
        result.output().heads().get(0).data().get(0, labels);
        return SingleObject.encode(record(MaskCodec.encode(masks, labels, IdleEngine.SIDE, IdleEngine.SIDE), sequence));
    }

    /** A record as the job writes it, around a mask. */
    static SegmentationRecord record(Mask mask, int sequence) {
        return SegmentationRecord.newBuilder()
                .setHeader(RecordHeader.newBuilder()
                        .setCameraId("camera")
                        .setSequence(sequence)
                        .setCaptureTimeMicros(0)
                        .setCaptureClock(CaptureClock.PUBLISHER)
                        .setSource(new SourcePosition("frames", 0, (long) sequence, 0L))
                        .setModel(IdleEngine.MODEL)
                        .setGeometry(new Geometry(1, 1, IdleEngine.SIDE, IdleEngine.SIDE, 1.0, 1.0, 0.0, 0.0))
                        .setTimings(new Timings(0L, 0L, 0L, 0L, 0L, 1))
                        .build())
                .setName("segmentation")
                .setClasses(19)
                .setClassNames(List.of())
                .setMask(mask)
                .build();
    }

    /** Milliseconds of every frame from due to the broker's append, less model and queue. */
    private double[] halfLoad(double framesPerSecond) throws IOException, InterruptedException {
        FrameTopics topics = outputs();
        EmbeddedFlink.Job job = submit(settings(topics, topics, List.of()));
        try {
            job.awaitRunning();
            // A new job: what it calls is compiled for most of the first minute.
            int frames = (int) Math.ceil(framesPerSecond * options.seconds());
            try (OpenLoop cameras = cameras(topics)) {
                cameras.publish(framesPerSecond, 2L * frames);
            }
            await(job, topics, 2L * frames);
            return outside(topics, frames);
        } finally {
            job.cancel();
        }
    }

    /** Latencies outside the model, of the frames in the topic's second half. */
    private double[] outside(FrameTopics topics, int frames) throws IOException {
        TopicPartition partition = new TopicPartition(topics.outputs().get(0), 0);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            double[] millis = new double[frames];
            RecordDecoder decoder = new RecordDecoder();
            int next = -frames;
            while (next < frames) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (next >= 0 && next < frames) {
                        RecordHeader header = decoder.decode(record.value(), SegmentationRecord.class)
                                .getHeader();
                        Timings timings = header.getTimings().orElseThrow();
                        millis[next] = record.timestamp()
                                - header.getCaptureTimeMicros() / 1e3
                                - (timings.getQueueMicros() + timings.getBackboneMicros() + timings.getUpsampleMicros())
                                        / 1e3;
                    }
                    next++;
                }
            }
            return millis;
        }
    }

    private static double percentile(double[] values, double percent) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return LoadReport.round(sorted[(int) Math.min(sorted.length - 1.0, percent / 100 * sorted.length)]);
    }

    private static double median(List<Double> values) {
        return Turns.median(values.stream().mapToDouble(Double::doubleValue).toArray());
    }

    private static long cpuNanos() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
