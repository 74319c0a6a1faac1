package io.upliftstream.tools.demo;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.OutputOptions;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.Label;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.stream.CameraPublisher;
import io.upliftstream.tools.stream.FrameImages;
import io.upliftstream.tools.stream.RecordReader;
import io.upliftstream.tools.stream.Schedule;
import io.upliftstream.tools.stream.StatusLine;
import io.upliftstream.tools.view.ViewServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Cameras, Kafka, Flink and the job in this JVM, and a subscriber that reads every record back and holds it against what
 * was published.
 */
public final class Demo {
    /** Of the whole pipeline: this long without one more frame that ends, and the demo gives up. */
    private static final Duration PATIENCE = Duration.ofMinutes(3);

    private static final Duration POLL = Duration.ofMillis(100);
    private static final String RETENTION_BYTES = Long.toString(2L << 30);

    private final DemoOptions options;
    private final Progress progress;
    private final ModelBundle bundle;
    private final JobSettings settings;
    private final Ledger ledger;
    private final Album album;
    private final Stages stages = new Stages();
    private final SegmentationScore score = new SegmentationScore();
    private final Map<String, Long> failureReasons = new TreeMap<>();
    private boolean scored;

    private Demo(DemoOptions options, Progress progress, String bootstrapServers) throws BundleException {
        this.options = options;
        this.progress = progress;
        this.bundle = ModelBundle.load(options.bundle());
        this.settings = settings(options, bootstrapServers);
        this.ledger = new Ledger(bundle.heads().stream()
                .filter(head -> settings.topic(head.kind()).isPresent())
                .map(HeadSpec::name)
                .collect(Collectors.toSet()));
        this.album = new Album(bundle.labels());
    }

    /**
     * Runs a demo to its end and leaves pictures and {@code summary.json} in its output directory.
     *
     * @throws StartupException if the options cannot work
     * @throws IOException if the input cannot be read, or the pipeline fails
     */
    public static Summary run(DemoOptions options, Progress progress) throws IOException, BundleException {
        ModelBundle.load(options.bundle()); // before anything starts
        try (Cameras cameras = Cameras.open(options)) {
            progress.say("Starting Kafka …");
            try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
                progress.say("Kafka is at " + kafka.bootstrapServers() + " until the demo ends");
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
        List<String> outputs = createTopics(kafka, cameras.size());
        try (ViewServer view = options.page() ? view() : null;
                CameraPublisher publisher = publisher(cameras);
                EmbeddedFlink flink =
                        new EmbeddedFlink(settings.flinkConfiguration(), settings.get(ServingOptions.PARALLELISM))) {
            StreamExecutionEnvironment env = flink.environment();
            DenseVisionJob.definePipeline(env, settings);
            if (view != null) {
                progress.say("Watch it, while it runs, at " + view.page());
                if (StatusLine.columns() > 0) {
                    view.openBrowser();
                }
            }
            progress.say("Starting Flink …");
            EmbeddedFlink.Job job = flink.submit(env);
            progress.say("Loading " + bundle + " … (Flink's page: " + flink.webPage() + ")");
            job.awaitRunning();
            try (KafkaConsumer<byte[], byte[]> subscriber = RecordReader.consumer(settings, Map.of())) {
                subscribe(subscriber, outputs, cameras.size());
                publisher.begin();
                follow(subscriber, publisher, job);
            }
            job.cancel();
        }
        return finish();
    }

    private ViewServer view() throws IOException {
        try {
            return new ViewServer(
                    settings,
                    bundle.labels(),
                    new InetSocketAddress(InetAddress.getLoopbackAddress(), ViewServer.PORT));
        } catch (IOException e) { // the port is taken
            return new ViewServer(
                    settings, bundle.labels(), new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        }
    }

    private List<String> createTopics(EmbeddedKafka kafka, int partitions) throws IOException {
        String input = settings.get(InputOptions.INPUT_TOPIC);
        List<String> outputs = bundle.heads().stream()
                .flatMap(head -> settings.topic(head.kind()).stream())
                .distinct()
                .collect(Collectors.toCollection(ArrayList::new));
        outputs.add(settings.get(OutputOptions.FAILURES_TOPIC));
        outputs.add(settings.get(OutputOptions.DROPPED_TOPIC));
        kafka.createTopic(input, partitions, Map.of("retention.bytes", RETENTION_BYTES));
        for (String topic : outputs) {
            kafka.createTopic(topic, partitions, Map.of("retention.bytes", RETENTION_BYTES));
        }
        return outputs;
    }

    private CameraPublisher publisher(List<Camera> cameras) {
        boolean live = options.mode() == ServingOptions.Mode.LIVE;
        return new CameraPublisher(
                settings,
                cameras,
                new Schedule(live ? Schedule.NATIVE : Schedule.UNPACED, options.frames(), null),
                CameraPublisher.Spread.IN_TURN,
                EmbeddedKafka.MAX_RECORD_BYTES,
                (camera, sequence, shot) -> {
                    if (!live) {
                        ledger.awaitRoom();
                    }
                    ledger.published(camera, sequence, shot.image().length, shot.labels());
                });
    }

    private static void subscribe(KafkaConsumer<byte[], byte[]> consumer, List<String> topics, int partitions) {
        List<TopicPartition> all = new ArrayList<>();
        for (String topic : topics) {
            for (int partition = 0; partition < partitions; partition++) {
                all.add(new TopicPartition(topic, partition));
            }
        }
        consumer.assign(all);
    }

    /** Reads what comes out until every frame has ended. */
    private void follow(KafkaConsumer<byte[], byte[]> subscriber, CameraPublisher publisher, EmbeddedFlink.Job job)
            throws IOException {
        long begin = System.nanoTime();
        while (true) {
            // Asked first: what was published before the last camera ended is in the ledger then.
            boolean finished = publisher.finished();
            if (finished && ledger.settled()) {
                return;
            }
            for (ConsumerRecord<byte[], byte[]> record : subscriber.poll(POLL)) {
                read(record);
            }
            progress.update(ledger);
            job.throwIfEnded();
            long quiet = System.nanoTime() - Math.max(begin, ledger.lastEndNanos());
            if (quiet > PATIENCE.toNanos()) {
                progress.say("No frame ended for " + PATIENCE.toMinutes() + " minutes: giving up.");
                return;
            }
        }
    }

    private void read(ConsumerRecord<byte[], byte[]> record) {
        String topic = record.topic();
        if (topic.equals(settings.get(OutputOptions.FAILURES_TOPIC))) {
            FrameFailure failure = SingleObject.decode(record.value(), FrameFailure.class);
            failureReasons.merge(failure.getReason(), 1L, Long::sum);
            ledger.failed(failure.getHeader().getCameraId(), failure.getHeader().getSequence());
        } else if (topic.equals(settings.get(OutputOptions.DROPPED_TOPIC))) {
            FrameDropped dropped = SingleObject.decode(record.value(), FrameDropped.class);
            RecordHeader header = dropped.getHeader();
            ledger.dropped(header.getCameraId(), header.getSequence(), dropped.getLastSequence(), dropped.getCount());
        } else if (topic.equals(settings.get(OutputOptions.SEGMENTATION_TOPIC))) {
            readSegmentation(SingleObject.decode(record.value(), SegmentationRecord.class));
        } else {
            FeatureRecord features = SingleObject.decode(record.value(), FeatureRecord.class);
            boolean regression = topic.equals(settings.get(OutputOptions.REGRESSION_TOPIC));
            RecordHeader header = features.getHeader();
            ledger.result(
                    header.getCameraId(),
                    header.getSequence(),
                    features.getName(),
                    regression ? HeadKind.REGRESSION : HeadKind.FEATURES);
            if (regression) {
                album.addDepth(features);
            } else {
                album.addFeatures(features);
            }
        }
    }

    private void readSegmentation(SegmentationRecord record) {
        RecordHeader header = record.getHeader();
        byte[] truth =
                ledger.result(header.getCameraId(), header.getSequence(), record.getName(), HeadKind.SEGMENTATION);
        stages.add(header);
        album.add(record);
        if (truth != null) {
            Geometry geometry = header.getGeometry().orElseThrow();
            score.add(MaskCodec.decode(record.getMask()), Grid.of(geometry), truth, geometry.getFrameWidth());
            scored = true;
        }
    }

    /** Draws and counts what was read; needs Kafka for the images. */
    private Summary finish() throws IOException {
        Files.createDirectories(options.output());
        progress.say("Drawing …");
        try (FrameImages images = new FrameImages(settings)) {
            album.draw(options.output(), position -> images.image(position)
                    .orElseThrow(() -> new IOException("frame at %s cannot be read back".formatted(position))));
        }
        Ledger.Account total = ledger.total();
        List<String> irregularities = ledger.irregularities();
        Summary summary = new Summary(
                options.modeName(),
                bundle.toString(),
                stages.variant(),
                total.published(),
                ledger.records(HeadKind.SEGMENTATION),
                ledger.records(HeadKind.FEATURES),
                ledger.records(HeadKind.REGRESSION),
                total.failed(),
                total.dropped(),
                ledger.balanced(),
                irregularities.subList(0, Math.min(20, irregularities.size())),
                Summary.round(ledger.framesPerSecond(), 2),
                new Summary.Latency(
                        Summary.round(ledger.latencyMillis(50), 1),
                        Summary.round(ledger.latencyMillis(95), 1),
                        Summary.round(ledger.latencyMillis(99), 1)),
                stages.meanMillis(),
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
