package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.JobCommands;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The model of a running job changes again and again, while frames flow, the job fails and is started again at another
 * parallelism; {@code -Dcontrol.swaps=20 -Dcontrol.kills=5} makes it longer.
 */
class ModelControlITCase {
    private static final AtomicBoolean FAIL = new AtomicBoolean();

    private static final int SWAPS = Integer.getInteger("control.swaps", 6);
    private static final int KILLS = Integer.getInteger("control.kills", 1);
    private static final List<String> CAMERAS = List.of("north", "south");
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final List<String> served = new ArrayList<>();
    /** From the sending of each command to its last answer, milliseconds since 1970. */
    private final List<long[]> windows = new ArrayList<>();

    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void everyFrameIsServedOnceByOneModelInOrder() throws Exception {
        bundle("0");
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Cameras cameras = new Cameras(Topics.create(kafka, "control", 2, 1 << 20))) {
            Topics topics = cameras.topics;
            kafka.createTopic("control", 1, Map.of());
            kafka.createTopic("answers", 1, Map.of());
            JobSettings plain = settings(topics, 1, "uplift.input.stop=never");
            try (EmbeddedFlink flink = new EmbeddedFlink(plain.flinkConfiguration(), 2)) {
                EmbeddedFlink.Job before = start(flink, plain, null);
                cameras.awaitMore();
                Path savepoint = stop(before, 0);
                int kills = 0;
                int swaps = 0;
                int[] parallelisms = {1, 2, 1};
                for (int phase = 0; phase < parallelisms.length; phase++) {
                    JobSettings settings = settings(
                            topics, parallelisms[phase], "uplift.control.topic=control", "uplift.input.stop=never");
                    EmbeddedFlink.Job job = start(flink, settings, savepoint);
                    JobCommands commands = new JobCommands(settings);
                    while (swaps < SWAPS * (phase + 1) / parallelisms.length) {
                        swap(commands, ++swaps, parallelisms[phase]);
                        cameras.awaitMore();
                        if (kills < KILLS * swaps / SWAPS) {
                            kills++;
                            FAIL.set(true);
                            while (FAIL.get()) {
                                Thread.sleep(10);
                            }
                        }
                    }
                    refuse(commands);
                    savepoint = stop(job, phase + 1);
                }
                cameras.stop();
                EmbeddedFlink.Job last = start(flink, settings(topics, 1, "uplift.control.topic=control"), savepoint);
                last.awaitEnd();
                assertThat(kills).isEqualTo(KILLS);
            }
            check(topics, cameras);
            System.out.printf(
                    "%d changes, %d failures, %d frames of each camera; longest silence while a model changed: %d ms%n",
                    SWAPS, KILLS, cameras.sent.get(), longestSilence(kafka, topics.name("segmentation")));
        }
    }

    /** Between two results of any camera, while a command was under way. */
    private long longestSilence(EmbeddedKafka kafka, String topic) {
        List<Long> times = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(kafka.clientSettings(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> times.add(record.timestamp()));
            }
        }
        times.sort(null);
        long longest = 0;
        for (int i = 1; i < times.size(); i++) {
            long from = times.get(i - 1);
            long to = times.get(i);
            if (windows.stream().anyMatch(window -> from < window[1] && to > window[0])) {
                longest = Math.max(longest, to - from);
            }
        }
        return longest;
    }

    /** Another bundle, or every fourth time the one before. */
    private void swap(JobCommands commands, int number, int subtasks) throws Exception {
        boolean back = number % 4 == 0;
        String version = back ? served.get(served.size() - 2) : Integer.toString(number);
        ModelCommand command = back
                ? JobCommands.command(ModelAction.ROLL_BACK).build()
                : activate(bundle(version)).build();
        long start = System.currentTimeMillis();
        List<ModelAnswer> answers = commands.send(command, PATIENCE);
        windows.add(new long[] {start, System.currentTimeMillis()});
        assertThat(answers).hasSize(subtasks).allSatisfy(answer -> {
            assertThat(answer.getOutcome()).isEqualTo(back ? ModelOutcome.ROLLED_BACK : ModelOutcome.ACTIVATED);
            assertThat(answer.getModel()).isEqualTo("tiny " + version);
        });
        served.add(version);
    }

    private void refuse(JobCommands commands) throws Exception {
        ModelCommand wrong =
                activate(bundle("never")).setSha256("00".repeat(32)).build();
        assertThat(commands.send(wrong, PATIENCE)).isNotEmpty().allSatisfy(answer -> {
            assertThat(answer.getOutcome()).isEqualTo(ModelOutcome.REFUSED);
            assertThat(answer.getReason().orElseThrow()).contains("SHA-256 of manifest.json");
            assertThat(answer.getModel()).isEqualTo("tiny " + served.get(served.size() - 1));
        });
    }

    private void check(Topics topics, Cameras cameras) {
        assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                .isEmpty();
        List<RecordHeader> labels = topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                .map(SegmentationRecord::getHeader)
                .toList();
        Map<String, String> models = new HashMap<>();
        labels.forEach(header -> models.put(frame(header), version(header)));
        for (FeatureRecord record : topics.read("features", "read_committed", FeatureRecord.class)) {
            assertThat(version(record.getHeader())).isEqualTo(models.get(frame(record.getHeader())));
        }
        for (String camera : CAMERAS) {
            List<RecordHeader> ofCamera = labels.stream()
                    .filter(header -> header.getCameraId().equals(camera))
                    .toList();
            assertThat(ofCamera)
                    .extracting(RecordHeader::getSequence)
                    .containsExactlyElementsOf(
                            LongStream.range(0, cameras.sent.get()).boxed().toList());
            List<String> runs = new ArrayList<>();
            for (RecordHeader header : ofCamera) {
                if (runs.isEmpty() || !runs.get(runs.size() - 1).equals(version(header))) {
                    runs.add(version(header));
                }
            }
            assertThat(runs.get(0)).isEqualTo("0");
            assertThat(runs.subList(1, runs.size()))
                    .as("models of %s, in turn", camera)
                    .isEqualTo(served);
        }
    }

    private static String frame(RecordHeader header) {
        return header.getCameraId() + " " + header.getSequence();
    }

    private static String version(RecordHeader header) {
        return header.getModel().orElseThrow().getVersion();
    }

    private JobSettings settings(Topics topics, int parallelism, String... more) {
        List<String> all = new ArrayList<>(List.of(
                "uplift.model.bundle=" + directory.resolve("0"),
                "uplift.parallelism=" + parallelism,
                "uplift.control.answers=answers",
                "uplift.control.cache.directory=" + directory.resolve("cache"),
                "restart-strategy.type=fixed-delay",
                "restart-strategy.fixed-delay.attempts=100",
                "restart-strategy.fixed-delay.delay=10 ms"));
        all.addAll(List.of(more));
        return topics.settings(all.toArray(String[]::new));
    }

    private static EmbeddedFlink.Job start(EmbeddedFlink flink, JobSettings settings, @Nullable Path from)
            throws IOException {
        StreamExecutionEnvironment env = flink.environment();
        DenseVisionJob.definePipeline(
                env,
                settings,
                (given, subtask) ->
                        new FailingEngine(FrameEngine.ofBundle(given, subtask), () -> FAIL.compareAndSet(true, false)));
        if (from != null) {
            var recovery = new Configuration();
            recovery.set(StateRecoveryOptions.SAVEPOINT_PATH, from.toUri().toString());
            env.configure(recovery);
        }
        EmbeddedFlink.Job job = flink.submit(env);
        job.awaitRunning();
        return job;
    }

    private Path stop(EmbeddedFlink.Job job, int number) throws IOException {
        Path savepoints = Files.createDirectories(directory.resolve("savepoints-" + number));
        job.stop(PATIENCE, savepoints.toUri().toString(), false);
        try (Stream<Path> made = Files.list(savepoints)) {
            return made.findFirst().orElseThrow();
        }
    }

    private static ModelCommand.Builder activate(Path bundle) throws Exception {
        return JobCommands.command(ModelAction.ACTIVATE)
                .setBundle(bundle.toString())
                .setSha256(ModelBundle.load(bundle).sha256());
    }

    /** A copy whose head of depth has another name. */
    private Path bundle(String version) throws IOException {
        boolean made = !Files.exists(directory.resolve(version));
        Path bundle = TinyBundle.copy(directory, version);
        if (made) {
            TinyBundle.edit(
                    bundle, "manifest.json", manifest -> manifest.replace("\"depth\"", "\"metres-" + version + "\""));
        }
        return bundle;
    }

    /** Two cameras that send, each to a partition of its own, until they are closed. */
    private static final class Cameras implements AutoCloseable {
        private final Topics topics;
        private final AtomicInteger sent = new AtomicInteger();
        private final AtomicBoolean closed = new AtomicBoolean();
        private final Thread thread;

        Cameras(Topics topics) {
            this.topics = topics;
            thread = new Thread(this::send, "cameras");
            thread.start();
        }

        private void send() {
            try {
                while (!closed.get()) {
                    long sequence = sent.get();
                    for (int camera = 0; camera < CAMERAS.size(); camera++) {
                        String id = CAMERAS.get(camera);
                        topics.send(
                                camera,
                                id,
                                SingleObject.encode(Topics.frame(id, sequence, TinyBundle.image((int) (sequence % 200)))
                                        .build()));
                    }
                    sent.incrementAndGet();
                }
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e); // and what waits for frames runs into its timeout
            }
        }

        /** Waits for results of each camera to come after those that are there, so that every model has some. */
        void awaitMore() throws InterruptedException {
            Map<String, Long> before = committed();
            Map<String, Long> now = before;
            while (!isMore(before, now)) {
                Thread.sleep(50);
                now = committed();
            }
        }

        private static boolean isMore(Map<String, Long> before, Map<String, Long> now) {
            return CAMERAS.stream()
                    .allMatch(camera -> now.getOrDefault(camera, 0L) >= before.getOrDefault(camera, 0L) + 10);
        }

        private Map<String, Long> committed() {
            return topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                    .collect(Collectors.groupingBy(record -> record.getHeader().getCameraId(), Collectors.counting()));
        }

        void stop() throws InterruptedException {
            closed.set(true);
            thread.join();
        }

        @Override
        public void close() {
            closed.set(true); // where the test failed; the broker ends the thread
        }
    }
}
