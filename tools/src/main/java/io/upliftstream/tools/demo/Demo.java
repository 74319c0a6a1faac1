package io.upliftstream.tools.demo;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.Label;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.embedded.JobProgress;
import io.upliftstream.tools.embedded.ScratchDirectory;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.stream.CameraPublisher;
import io.upliftstream.tools.stream.ClaimedPayloads;
import io.upliftstream.tools.stream.FrameImages;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordKind;
import io.upliftstream.tools.stream.RecordReader;
import io.upliftstream.tools.stream.Schedule;
import io.upliftstream.tools.stream.StatusLine;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.view.ViewServer;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Cameras, Kafka, Flink and the job in this JVM, and a subscriber that reads every record back and holds it against what
 * was published.
 */
public final class Demo {
    /** The demo gives up after this long without a frame that ends. */
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    private static final Duration POLL = Duration.ofMillis(100);
    private static final String RETENTION_BYTES = Long.toString(2L << 30);

    private final DemoOptions options;
    private final Progress progress;
    private final ModelBundle bundle;
    private final JobSettings settings;
    private final OutputTopics outputs;
    private final ClaimedPayloads payloads;
    private final Account account;
    private final InFlight inFlight = new InFlight();
    private final Album album;
    private final MeanTimings timings = new MeanTimings();
    private final SegmentationScore score = new SegmentationScore();
    private final Map<RecordKind, Long> records = new EnumMap<>(RecordKind.class);
    private final Map<String, Long> failureReasons = new TreeMap<>();
    private boolean scored;
    private long unsent;

    private Demo(DemoOptions options, Progress progress, String bootstrapServers) throws BundleException {
        this.options = options;
        this.progress = progress;
        this.bundle = ModelBundle.load(options.bundle());
        this.settings = settings(options, bootstrapServers);
        this.outputs = new OutputTopics(settings);
        this.payloads = new ClaimedPayloads(settings, Payloads.PATIENCE);
        this.account = new Account(
                settings.written(bundle.heads()).stream().map(HeadSpec::name).toList());
        this.album = new Album(bundle.labels());
    }

    /**
     * Runs a demo to its end and leaves pictures and {@code summary.json} in its output directory.
     *
     * @throws StartupException if the options cannot work
     * @throws IOException if the input cannot be read, or the pipeline fails
     */
    public static Summary run(DemoOptions options, Progress progress) throws IOException, BundleException {
        ModelBundle.load(options.bundle()); // before anything starts, as are the settings
        JobSettings unused = settings(options, "localhost:0");
        try (Cameras cameras = Cameras.open(options)) {
            progress.say("Starting Kafka …");
            try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
                return new Demo(options, progress, kafka.bootstrapServers()).run(kafka, cameras.list());
            }
        }
    }

    private static JobSettings settings(DemoOptions options, String bootstrapServers) {
        List<String> assignments = new ArrayList<>(List.of(
                ServingOptions.MODEL_BUNDLE.key() + "=" + options.bundle().toAbsolutePath(),
                ServingOptions.MODEL_DEVICE.key() + "=" + options.device(),
                ServingOptions.MODEL_PRECISION.key() + "=" + options.precision(),
                ServingOptions.MODE.key() + "=" + options.modeName(),
                InputOptions.INPUT_START.key() + "=earliest",
                // Results of a lossless run appear with checkpoints; someone is watching.
                ServingOptions.CHECKPOINT_INTERVAL.key() + "=1 s",
                // A demo that fails should say so, not try again.
                "restart-strategy.type=disable"));
        assignments.addAll(options.set());
        assignments.add(InputOptions.BOOTSTRAP_SERVERS.key() + "=" + bootstrapServers);
        return JobSettings.load(null, Map.of(), assignments);
    }

    private Summary run(EmbeddedKafka kafka, List<Camera> cameras) throws IOException {
        createTopics(kafka, cameras.size());
        Configuration flinkConfiguration = settings.flinkConfiguration();
        if (options.flinkPage() != null) {
            EmbeddedFlink.showPage(flinkConfiguration, options.flinkPage());
        }
        try (ViewServer view = view();
                CameraPublisher publisher = publisher(cameras);
                EmbeddedFlink flink = new EmbeddedFlink(flinkConfiguration, settings.get(ServingOptions.PARALLELISM))) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            progress.say("Watch it, while it runs, at " + view.page());
            if (options.browser() && StatusLine.columns() > 0) {
                view.openBrowser();
            }
            progress.say("Starting Flink …");
            EmbeddedFlink.Job job = flink.submit(env);
            if (options.flinkPage() != null) {
                progress.say("Flink's page: " + flink.webPage());
            }
            progress.say("Listening until the demo ends: " + kafka.listeners() + ", " + flink.listeners()
                    + ", the live page at " + view.page().getAuthority());
            progress.say("Loading " + bundle + " …");
            job.awaitRunning();
            try (KafkaConsumer<byte[], byte[]> subscriber = RecordReader.consumer(settings, Map.of());
                    FrameImages images = FrameImages.inOrder(settings)) {
                subscribe(subscriber, settings.outputTopics(bundle.heads()), cameras.size());
                publisher.begin();
                boolean ended = follow(subscriber, publisher, job, images);
                publisher.news().forEach(progress::say);
                unsent = publisher.failed();
                if (!ended) {
                    job.cancel();
                }
            }
        }
        return finish();
    }

    private ViewServer view() throws IOException {
        try {
            return new ViewServer(
                    settings,
                    bundle.labels(),
                    bundle.sha256(),
                    new InetSocketAddress(InetAddress.getLoopbackAddress(), ViewServer.PORT));
        } catch (IOException e) { // the port is taken
            return new ViewServer(
                    settings,
                    bundle.labels(),
                    bundle.sha256(),
                    new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        }
    }

    private void createTopics(EmbeddedKafka kafka, int partitions) throws IOException {
        String input = settings.get(InputOptions.INPUT_TOPIC);
        kafka.createTopic(input, partitions, Map.of("retention.bytes", RETENTION_BYTES));
        for (String topic : settings.outputTopics(bundle.heads())) {
            kafka.createTopic(topic, partitions, Map.of("retention.bytes", RETENTION_BYTES));
        }
    }

    private CameraPublisher publisher(List<Camera> cameras) {
        boolean live = options.mode() == ServingOptions.Mode.LIVE;
        return new CameraPublisher(
                settings,
                cameras,
                new Schedule(live ? Schedule.NATIVE : Schedule.UNPACED, options.frames(), null),
                CameraPublisher.Spread.IN_TURN,
                EmbeddedKafka.MAX_RECORD_BYTES,
                false,
                (camera, sequence, shot) -> {
                    if (!live) {
                        inFlight.awaitRoom();
                    }
                    // Results come in the order in which pictures are shown, packets in that of decoding.
                    account.published(
                            camera, sequence, shot.isPacket() ? shot.position().toNanos() : sequence);
                    inFlight.published(camera, sequence, shot.image().length, shot.labels());
                });
    }

    private static void subscribe(KafkaConsumer<byte[], byte[]> consumer, Set<String> topics, int partitions) {
        List<TopicPartition> all = new ArrayList<>();
        for (String topic : topics) {
            for (int partition = 0; partition < partitions; partition++) {
                all.add(new TopicPartition(topic, partition));
            }
        }
        consumer.assign(all);
    }

    /**
     * Reads what comes out until every frame has ended.
     *
     * @return whether the job has ended
     */
    private boolean follow(
            KafkaConsumer<byte[], byte[]> subscriber,
            CameraPublisher publisher,
            EmbeddedFlink.Job job,
            FrameImages images)
            throws IOException {
        long begin = System.nanoTime();
        JobProgress jobProgress = job.progress(settings.get(ServingOptions.AGE_FROM));
        boolean ended = false;
        while (true) {
            // Asked first: what was published before the last camera ended is in the account then.
            boolean finished = publisher.finished();
            if (finished && account.open() == 0) {
                return ended;
            }
            if (finished && options.packets() && !ended && readAll(jobProgress)) {
                end(job); // decoders hold the last pictures back until then
                ended = true;
            }
            for (ConsumerRecord<byte[], byte[]> record : subscriber.poll(POLL)) {
                read(record);
            }
            if (!options.packets()) { // these are decoded once more, in one go at the end
                album.fetch(images::image);
            }
            publisher.news().forEach(progress::say);
            progress.update(account, inFlight);
            if (!ended) {
                job.throwIfEnded();
            }
            long quiet = System.nanoTime() - Math.max(begin, inFlight.lastEndNanos());
            if (quiet > PATIENCE.toNanos()) {
                progress.say("No frame ended for " + PATIENCE.toMinutes() + " minutes: giving up.");
                return ended;
            }
        }
    }

    private boolean readAll(JobProgress jobProgress) throws InterruptedIOException {
        try {
            return jobProgress.framesIn() == account.balance().published();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while the job reads the last frames");
        } catch (IOException e) {
            return false; // Flink did not answer in time, and is asked again
        }
    }

    private static void end(EmbeddedFlink.Job job) throws IOException {
        try (ScratchDirectory savepoint = ScratchDirectory.create("uplift-demo")) {
            job.stop(PATIENCE, savepoint.path().toUri().toString(), true);
        }
    }

    private void read(ConsumerRecord<byte[], byte[]> consumed) {
        RecordKind kind = outputs.kind(consumed.topic());
        SpecificRecord record = outputs.decode(consumed);
        payloads.fetch(record);
        records.merge(kind, 1L, Long::sum);
        account.read(record, consumed.timestamp());
        if (record instanceof SegmentationRecord labels) {
            score(labels);
            timings.add(labels.getHeader());
            album.add(labels);
        } else if (record instanceof FrameFailure failure) {
            failureReasons.merge(failure.getReason(), 1L, Long::sum);
        } else if (kind == RecordKind.DEPTH) {
            album.addDepth((FeatureRecord) record);
        } else if (record instanceof FeatureRecord features) {
            album.addFeatures(features);
        }
        end(record);
    }

    private void score(SegmentationRecord record) {
        RecordHeader header = record.getHeader();
        byte[] truth = inFlight.labels(header.getCameraId(), header.getSequence());
        if (truth != null) {
            Geometry geometry = header.getGeometry().orElseThrow();
            score.add(MaskCodec.decode(record.getMask()), Grid.of(geometry), truth, geometry.getFrameWidth());
            scored = true;
        }
    }

    /** Makes room for new frames, if the record was the last of one or more. */
    private void end(SpecificRecord record) {
        RecordHeader header = RecordKind.header(record);
        long last = record instanceof FrameDropped run ? run.getLastSequence() : header.getSequence();
        boolean dense = record instanceof SegmentationRecord || record instanceof FeatureRecord;
        for (long sequence = header.getSequence(); sequence <= last; sequence++) {
            if (account.ended(header.getCameraId(), sequence)) {
                inFlight.ended(header.getCameraId(), sequence, dense);
            }
        }
    }

    /** Draws and counts what was read; needs Kafka for the images of packets. */
    private Summary finish() throws IOException {
        Files.createDirectories(options.output());
        progress.say("Drawing …");
        try (FrameImages images = FrameImages.inOrder(settings)) {
            int missing = album.fetch(images::image);
            if (missing > 0) {
                progress.say("%d frames are no longer on the input topic, and not drawn".formatted(missing));
            }
        }
        album.draw(options.output());
        Account.Balance balance = account.balance();
        Summary summary = new Summary(
                options.modeName(),
                bundle.toString(),
                timings.variant(),
                balance.published(),
                records.getOrDefault(RecordKind.SEGMENTATION, 0L),
                records.getOrDefault(RecordKind.FEATURES, 0L),
                records.getOrDefault(RecordKind.DEPTH, 0L),
                balance.failures(),
                unsent,
                balance.drops(),
                balance.exactlyOnce(),
                balance.irregularities(),
                balance.results() == 0 ? 0 : Summary.round(balance.results() / inFlight.seconds(), 2),
                new Summary.Latency(
                        Summary.round(inFlight.latencyMillis(50), 1),
                        Summary.round(inFlight.latencyMillis(95), 1),
                        Summary.round(inFlight.latencyMillis(99), 1)),
                timings.meanMillis(),
                failureReasons,
                scored ? Summary.round(score.pixelAccuracy(), 4) : null,
                scored ? Summary.round(score.meanIoU(), 4) : null,
                scored ? classScores() : null);
        summary.write(options.output().resolve("summary.json"));
        return summary;
    }

    private Map<String, Double> classScores() {
        Map<String, Double> scores = new LinkedHashMap<>();
        for (Label label : bundle.labels()) {
            double iou = score.intersectionOverUnion(label.id());
            if (!Double.isNaN(iou)) {
                scores.put(label.name(), Summary.round(iou, 4));
            }
        }
        return scores;
    }
}
