package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.JobSettings;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelAnswer;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.ModelOutcome;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.JobCommands;
import io.upliftstream.tools.stream.OutputTopics;
import io.upliftstream.tools.stream.RecordReader;
import io.upliftstream.tools.traffic.Account;
import io.upliftstream.tools.traffic.FrameTopics;
import io.upliftstream.tools.traffic.OpenLoop;
import io.upliftstream.tools.traffic.Subscriber;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/**
 * The model of a job on a cluster of processes changes while frames flow, TaskManagers and JobManagers are killed in the
 * midst of a change, and the job goes on at another parallelism; {@code -Dcontrol.swaps=20 -Dcontrol.kills=5} makes it
 * longer, {@code -Dcontrol.before=DIR} adds a job that begins with an earlier build.
 */
@Tag("servers") // too long for every build
@Timeout(value = 40, unit = TimeUnit.MINUTES)
class ModelKillsITCase {
    private static final int SWAPS = Integer.getInteger("control.swaps", 3);
    private static final int KILLS = Integer.getInteger("control.kills", 2);
    private static final List<String> CAMERAS = List.of("north", "south");
    private static final double FRAMES_PER_SECOND = 20;
    private static final Duration PATIENCE = Duration.ofMinutes(3);
    private static final Path LOGS = Path.of("target", "cluster-control-log");

    /**
     * A change of the model.
     *
     * @param killed what was killed meanwhile
     * @param from when the command was sent, milliseconds since 1970
     * @param to when its last answer was read
     */
    private record Change(String killed, long from, long to) {}

    /** Of one model for one frame, with when the broker had it. */
    private record Result(String camera, long sequence, String version, long millis) {}

    private static final ClusterShape SHAPE = new ClusterShape(1, 1, 2);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final List<String> served = new ArrayList<>();
    private final List<Change> changes = new ArrayList<>();

    @Test
    void everyFrameIsServedOnceByOneModelInOrder() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Stream stream = new Stream(kafka);
                ProcessCluster cluster = ProcessCluster.start(Path.of(".."), SHAPE, Set.of(), LOGS)) {
            String savepoint = null;
            JobCommands commands = new JobCommands(stream.settings);
            int[] parallelisms = {1, 2, 1};
            for (int phase = 0; phase < parallelisms.length; phase++) {
                String job = stream.run(cluster, parallelisms[phase], savepoint);
                while (changes.size() < SWAPS * (phase + 1) / parallelisms.length) {
                    change(cluster, commands, parallelisms[phase]);
                    stream.awaitResults();
                }
                refuse(commands);
                savepoint = cluster.flink().stopWithSavepoint(job, savepoints());
            }
            stream.stop();
            String last = stream.run(cluster, 1, savepoint);
            stream.awaitSettled();
            cluster.flink().cancel(last);
            stream.assertExactlyOnce();
            List<Result> results = stream.results();
            assertModels(results);
            System.out.printf(
                    "%d changes, %d with kills, %d frames%n%s",
                    changes.size(),
                    changes.stream().filter(change -> !change.killed.isEmpty()).count(),
                    results.size(),
                    silences(results));
        }
    }

    /** State's upgrade: an earlier build's savepoint begins a job of this one, which then takes commands. */
    @Test
    @EnabledIfSystemProperty(named = "control.before", matches = ".+")
    void aSavepointOfAnEarlierBuildStartsThisOne() throws Exception {
        Path before = Path.of(System.getProperty("control.before", ""));
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                Stream stream = new Stream(kafka)) {
            String savepoint;
            try (ProcessCluster cluster = ProcessCluster.start(before, SHAPE, Set.of(), LOGS.resolve("before"))) {
                List<String> known = stream.arguments(1);
                known.removeIf(argument -> argument.startsWith("uplift.control."));
                String job = cluster.flink().run(known, null);
                stream.awaitResults();
                savepoint = cluster.flink().stopWithSavepoint(job, savepoints());
            }
            try (ProcessCluster cluster = ProcessCluster.start(Path.of(".."), SHAPE, Set.of(), LOGS.resolve("after"))) {
                String job = stream.run(cluster, 2, savepoint);
                change(cluster, new JobCommands(stream.settings), 2);
                stream.awaitResults();
                stream.stop();
                stream.awaitSettled();
                cluster.flink().cancel(job);
            }
            stream.assertExactlyOnce();
            assertModels(stream.results());
        }
    }

    private URI savepoints() throws IOException {
        return Files.createDirectories(directory.resolve("savepoints")).toUri();
    }

    /** Another bundle, or every fourth time the one before; some have processes killed while they go on. */
    private void change(ProcessCluster cluster, JobCommands commands, int subtasks) throws Exception {
        int number = changes.size() + 1;
        boolean back = number % 4 == 0;
        String version = back ? served.get(served.size() - 2) : Integer.toString(number);
        ModelCommand command = back
                ? JobCommands.command(ModelAction.ROLL_BACK).build()
                : activate(version).build();
        int kill = KILLS * number / SWAPS;
        boolean kills = kill > KILLS * (number - 1) / SWAPS;
        String victims = !kills ? "" : kill % 2 == 1 ? "TaskManagers" : "JobManager";
        long start = System.currentTimeMillis();
        CompletableFuture<Void> killing = CompletableFuture.runAsync(() -> kill(cluster, victims, 400L * (kill - 1)));
        List<ModelAnswer> answers = commands.send(command, PATIENCE);
        changes.add(new Change(victims, start, System.currentTimeMillis()));
        killing.get();
        assertThat(answers).hasSize(subtasks).allSatisfy(answer -> {
            assertThat(answer.getReason()).isEmpty();
            assertThat(answer.getOutcome()).isEqualTo(back ? ModelOutcome.ROLLED_BACK : ModelOutcome.ACTIVATED);
            assertThat(answer.getModel()).isEqualTo("tiny " + version);
        });
        served.add(version);
    }

    private static void kill(ProcessCluster cluster, String victims, long afterMillis) {
        List<JvmProcess> killed =
                switch (victims) {
                    case "TaskManagers" -> cluster.taskManagers();
                    case "JobManager" -> List.of(cluster.jobManager());
                    default -> List.of();
                };
        try {
            Thread.sleep(killed.isEmpty() ? 0 : afterMillis);
            for (JvmProcess process : killed) {
                process.kill();
            }
            for (JvmProcess process : killed) {
                process.start();
            }
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private void refuse(JobCommands commands) throws Exception {
        ModelCommand wrong = activate("never").setSha256("00".repeat(32)).build();
        assertThat(commands.send(wrong, PATIENCE)).isNotEmpty().allSatisfy(answer -> {
            assertThat(answer.getReason().orElseThrow()).contains("SHA-256 of manifest.json");
            assertThat(answer.getModel()).isEqualTo("tiny " + served.get(served.size() - 1));
        });
    }

    private ModelCommand.Builder activate(String version) throws Exception {
        Path bundle = TinyBundle.copy(directory, version);
        return JobCommands.command(ModelAction.ACTIVATE)
                .setBundle(bundle.toString())
                .setSha256(ModelBundle.load(bundle).sha256());
    }

    /** Each camera had the configured model, then those of the commands in turn. */
    private void assertModels(List<Result> results) {
        for (String camera : CAMERAS) {
            List<String> runs = new ArrayList<>();
            for (Result result : results) {
                if (result.camera.equals(camera)
                        && (runs.isEmpty() || !runs.get(runs.size() - 1).equals(result.version))) {
                    runs.add(result.version);
                }
            }
            List<String> expected = new ArrayList<>(List.of("0"));
            expected.addAll(served);
            assertThat(runs).as("models of %s", camera).isEqualTo(expected);
        }
    }

    /** The longest time between two results of a camera while the model changed, by what was killed meanwhile. */
    private String silences(List<Result> results) {
        Map<String, List<Long>> longest = new TreeMap<>();
        for (Change change : changes) {
            long silence = 0;
            for (int i = 1; i < results.size(); i++) {
                long from = results.get(i - 1).millis;
                long to = results.get(i).millis;
                if (results.get(i).sequence > 0 && from < change.to && to > change.from) {
                    silence = Math.max(silence, to - from);
                }
            }
            longest.computeIfAbsent(change.killed, unused -> new ArrayList<>()).add(silence);
        }
        StringBuilder table = new StringBuilder("| killed meanwhile | changes | silence, median | longest |\n");
        longest.forEach((killed, millis) -> table.append("| %s | %d | %d ms | %d ms |%n"
                .formatted(
                        killed.isEmpty() ? "nothing" : killed,
                        millis.size(),
                        millis.stream().sorted().toList().get(millis.size() / 2),
                        millis.stream().max(Long::compare).orElseThrow())));
        return table.toString();
    }

    /** Two cameras that send all the time, and the account of what comes of it. */
    private final class Stream implements AutoCloseable {
        private final FrameTopics topics = new FrameTopics("control-", CAMERAS.size());
        private final Account account = new Account(Set.of("classes", "features", "depth"));
        private final EmbeddedKafka kafka;
        private final JobSettings settings;
        private final OpenLoop cameras;
        private final Subscriber subscriber;
        private final CompletableFuture<Void> sending;

        Stream(EmbeddedKafka kafka) throws IOException {
            this.kafka = kafka;
            Path unused = TinyBundle.copy(directory, "0");
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
                topics.create(admin, EmbeddedKafka.MAX_RECORD_BYTES);
            }
            kafka.createTopic("commands", 1, Map.of());
            kafka.createTopic("answers", 1, Map.of());
            settings = JobSettings.load(null, Map.of(), arguments(1));
            subscriber = new Subscriber(topics, settings, account);
            cameras = new OpenLoop(
                    kafka.bootstrapServers(),
                    topics,
                    CAMERAS,
                    List.of(new Shot("image", TinyBundle.image(1), "png", Duration.ZERO, null)),
                    account);
            sending = CompletableFuture.runAsync(() -> {
                try {
                    cameras.publish(FRAMES_PER_SECOND, Long.MAX_VALUE);
                } catch (IOException e) {
                    throw new IllegalStateException(e);
                }
            });
        }

        List<String> arguments(int parallelism) {
            List<String> arguments = new ArrayList<>(topics.assignments());
            arguments.addAll(List.of(
                    "uplift.kafka.bootstrap-servers=" + kafka.bootstrapServers(),
                    "uplift.model.bundle=" + directory.resolve("0"),
                    "uplift.parallelism=" + parallelism,
                    "uplift.checkpoint.interval=500 ms",
                    "uplift.control.topic=commands",
                    "uplift.control.answers=answers",
                    "uplift.control.cache.directory=" + directory.resolve("cache")));
            return arguments;
        }

        String run(ProcessCluster cluster, int parallelism, @Nullable String savepoint) throws Exception {
            cluster.awaitTaskManagers();
            String job = cluster.flink().run(arguments(parallelism), savepoint);
            if (!sending.isDone()) {
                awaitResults();
            }
            return job;
        }

        /** Waits for results of frames of each camera that are taken from now on. */
        void awaitResults() throws Exception {
            long now = System.currentTimeMillis();
            while (!account.hasResultsSince(now)) {
                subscriber.throwIfFailed();
                assertThat(sending).isNotDone();
                Thread.sleep(20);
            }
        }

        void stop() throws Exception {
            cameras.stop();
            sending.get();
        }

        void awaitSettled() throws Exception {
            while (!account.awaitSettled(1000)) {
                subscriber.throwIfFailed();
            }
        }

        void assertExactlyOnce() {
            Account.Balance balance = account.balance();
            assertThat(balance.exactlyOnce()).as(balance.toString()).isTrue();
            assertThat(balance.failures()).isZero();
        }

        /** One result of each frame, by camera in order, after it is checked that all its records name the same model. */
        List<Result> results() {
            OutputTopics outputs = new OutputTopics(settings);
            Map<String, Result> results = new HashMap<>();
            try (KafkaConsumer<byte[], byte[]> consumer =
                    RecordReader.consumer(settings, Map.of("isolation.level", "read_committed"))) {
                List<TopicPartition> partitions = new ArrayList<>();
                topics.outputs().forEach(topic -> consumer.partitionsFor(topic)
                        .forEach(info -> partitions.add(new TopicPartition(topic, info.partition()))));
                consumer.assign(partitions);
                consumer.seekToBeginning(partitions);
                Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
                while (partitions.stream()
                        .anyMatch(partition -> consumer.position(partition) < ends.getOrDefault(partition, 0L))) {
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                        Result result = result(outputs.decode(record), record.timestamp());
                        Result other = results.putIfAbsent(result.camera + result.sequence, result);
                        assertThat(other == null ? result.version : other.version)
                                .as("the model of frame %d of %s", result.sequence, result.camera)
                                .isEqualTo(result.version);
                    }
                }
            }
            return results.values().stream()
                    .sorted((one, other) -> one.camera.equals(other.camera)
                            ? Long.compare(one.sequence, other.sequence)
                            : one.camera.compareTo(other.camera))
                    .toList();
        }

        private static Result result(SpecificRecord record, long millis) {
            RecordHeader header = record instanceof SegmentationRecord labels
                    ? labels.getHeader()
                    : ((FeatureRecord) record).getHeader();
            return new Result(
                    header.getCameraId(),
                    header.getSequence(),
                    header.getModel().orElseThrow().getVersion(),
                    millis);
        }

        @Override
        public void close() {
            cameras.stop();
            cameras.close();
            subscriber.close();
        }
    }
}
