package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.state.memory.ByteStreamStateHandle;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code uplift run} in processes of their own, which are stopped, killed and started again beside each other. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class RestartITCase {
    private static final int SIGTERM = 128 + 15;

    private static EmbeddedKafka kafka;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final List<Process> started = new ArrayList<>();
    private final List<Path> outputs = new ArrayList<>();

    @BeforeAll
    static void start() throws IOException {
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void stop() {
        kafka.close();
    }

    @AfterEach
    void kill() {
        started.forEach(Process::destroyForcibly);
    }

    @Test
    void aPartitionWithoutARecordSoFarGoesOnWhereItWas() throws Exception {
        Topics topics = topics("silent");
        String[] live = {"uplift.mode=live", "uplift.input.start=group", "uplift.max-age=1 h"};
        Process first = run(
                directory,
                topics,
                Stream.concat(Stream.of(live), Stream.of("uplift.input.stop=never"))
                        .toArray(String[]::new));
        awaitOutput(first, "The job runs");
        first.destroy();
        assertThat(first.waitFor()).as(output(first)).isEqualTo(SIGTERM);

        publish(topics, 0, 3);
        Process second = run(directory, topics, live);
        assertThat(second.waitFor()).as(output(second)).isZero();
        assertThat(sequences(topics)).isEqualTo(upTo(3));
    }

    @Test
    void goesOnFromTheSavepointAndWithFreshDoesNot() throws Exception {
        Topics topics = topics("fresh");
        publish(topics, 0, 6);
        Process first = run(directory, topics, "uplift.input.stop=never");
        awaitOutput(first, "The job runs");
        while (sequences(topics).size() < 6) {
            awaitMore(first);
        }
        first.destroy();
        assertThat(first.waitFor()).as(output(first)).isEqualTo(SIGTERM);
        assertThat(output(first))
                .contains("Stopped. The next run goes on from the savepoint", "Frames: in 6 · results 6");

        publish(topics, 6, 8);
        Process second = run(directory, topics, "uplift.input.start=earliest");
        assertThat(second.waitFor()).as(output(second)).isZero();
        assertThat(output(second)).contains("Going on from the savepoint", "(uplift.input.start counts with --fresh)");
        assertThat(sequences(topics)).as("neither lost nor doubled").isEqualTo(upTo(8));

        Process third = run(directory, topics);
        assertThat(third.waitFor()).as(output(third)).isZero();
        assertThat(sequences(topics))
                .as("the group says where the second ended")
                .isEqualTo(upTo(8));

        Process stopped = run(directory, topics, "uplift.input.stop=never");
        awaitOutput(stopped, "The job runs");
        stopped.destroy();
        assertThat(stopped.waitFor()).as(output(stopped)).isEqualTo(SIGTERM);
        Path state = metadata();
        Files.write(state, List.of("damaged"));
        Process damaged = run(directory, topics);
        assertThat(damaged.waitFor()).isEqualTo(3);
        assertThat(output(damaged)).contains("state file:", "expected: an undamaged state of this job; --fresh");

        OperatorState unknown = new OperatorState("unknown", "unknown", new OperatorID(), 1, 128);
        unknown.setCoordinatorState(new ByteStreamStateHandle("unknown", new byte[] {1}));
        try (OutputStream out = Files.newOutputStream(state)) {
            Checkpoints.storeCheckpointMetadata(new CheckpointMetadata(1000, List.of(unknown), List.of()), out);
        }
        Process foreign = run(directory, topics);
        assertThat(foreign.waitFor()).as(output(foreign)).isEqualTo(3);
        assertThat(output(foreign)).contains("state file:", "Cannot map", "--fresh starts without it");

        Process fresh = run(directory, topics, "uplift.input.start=earliest", "--fresh");
        assertThat(fresh.waitFor()).as(output(fresh)).isZero();
        assertThat(sequences(topics)).hasSize(16);
    }

    @Test
    void aSecondRunIsRefusedWhileTheFirstLives(@TempDir Path otherState) throws Exception {
        Topics topics = topics("second");
        Process first = run(directory, topics, "uplift.input.stop=never");
        awaitOutput(first, "The job runs");
        try (Admin admin = kafka.admin()) {
            String group = "second-run-" + topics.name("camera-frames");
            while (admin.describeConsumerGroups(List.of(group)).all().get().values().stream()
                    .allMatch(found -> found.members().isEmpty())) {
                awaitMore(first);
            }
        }

        Process second = run(directory, topics);
        assertThat(second.waitFor()).isEqualTo(3);
        assertThat(output(second))
                .contains(
                        "uplift: group second reads topic second-camera-frames already, in process %d of this machine"
                                .formatted(first.pid()),
                        "uplift.parallelism",
                        "uplift.input.group-id",
                        "uplift.transactional-id-prefix")
                .doesNotContain("\tat ");
        Process elsewhere = run(otherState, topics);
        assertThat(elsewhere.waitFor()).as("one that cannot see the lock").isEqualTo(3);
        assertThat(output(elsewhere)).contains("already, in uplift-run-");
        Process samePrefix = run(directory, topics, "uplift.input.group-id=another");
        assertThat(samePrefix.waitFor()).isEqualTo(3);
        assertThat(output(samePrefix)).contains("uplift: transactions are called second… already");
        Process beside =
                run(directory, topics, "uplift.input.group-id=another", "uplift.transactional-id-prefix=another");
        assertThat(beside.waitFor()).as(output(beside)).isZero();

        first.destroyForcibly().waitFor();
        Process afterKill = run(directory, topics, "uplift.input.stop=never");
        awaitOutput(afterKill, "The job runs");
        afterKill.destroy();
        assertThat(afterKill.waitFor()).as(output(afterKill)).isEqualTo(SIGTERM);
        Process afterEnd = run(otherState, topics);
        assertThat(afterEnd.waitFor()).as(output(afterEnd)).isZero();
    }

    @Test
    void aSecondSignalEndsAtOnceAndSaysWhatIsRepeated() throws Exception {
        Topics topics = topics("twice");
        publish(topics, 0, 3);
        topics.send(0, "north", frame(3, ModelTroubleITCase.HANGS));
        Process run = run(directory, topics, "uplift.input.stop=never", "uplift.model.timeout=5 min");
        awaitOutput(run, "The job runs");
        while (topics.read("segmentation", "read_uncommitted", SegmentationRecord.class)
                .isEmpty()) {
            awaitMore(run);
        }
        run.destroy();
        awaitOutput(run, "Stopping with a savepoint; Ctrl-C once more ends at once");
        run.destroy();
        assertThat(run.waitFor(20, TimeUnit.SECONDS)).isTrue();
        assertThat(run.exitValue()).isEqualTo(SIGTERM);
        assertThat(output(run))
                .contains(
                        "Ended at once. The next run goes on from ", "nothing is repeated for read_committed readers");
    }

    private Topics topics(String test) throws IOException {
        return Topics.create(kafka, test, 1, 1 << 20);
    }

    private Process run(Path state, Topics topics, String... more) throws IOException {
        List<String> arguments = new ArrayList<>(List.of("run"));
        List<String> assignments = topics.assignments("uplift.model.bundle=" + TinyBundle.PATH);
        assignments.addAll(List.of(more));
        for (String assignment : assignments) {
            arguments.addAll(assignment.startsWith("--") ? List.of(assignment) : List.of("--set", assignment));
        }
        Path output = Files.createTempFile(directory, "uplift-", ".log");
        Process process = Commands.start(state, output, List.of(), arguments);
        started.add(process);
        outputs.add(output);
        return process;
    }

    private String output(Process process) throws IOException {
        return Files.readString(outputs.get(started.indexOf(process)));
    }

    private void awaitOutput(Process process, String text) throws Exception {
        while (!output(process).contains(text)) {
            awaitMore(process);
        }
    }

    /** Gives a process that must not end some time. */
    private void awaitMore(Process process) throws Exception {
        assertThat(process.waitFor(50, TimeUnit.MILLISECONDS))
                .as(output(process))
                .isFalse();
    }

    /** The one state that a run has left. */
    private Path metadata() throws IOException {
        try (Stream<Path> files = Files.walk(directory.resolve("uplift-stream").resolve("checkpoints"))) {
            List<Path> found = files.filter(file -> file.endsWith("_metadata")).toList();
            assertThat(found).hasSize(1);
            return found.get(0);
        }
    }

    private static void publish(Topics topics, int from, int to) throws Exception {
        for (int sequence = from; sequence < to; sequence++) {
            topics.send(0, "north", frame(sequence, sequence));
        }
    }

    private static byte[] frame(int sequence, int firstByte) throws IOException {
        return SingleObject.encode(
                Topics.frame("north", sequence, TinyBundle.image(firstByte)).build());
    }

    private static List<Long> sequences(Topics topics) {
        return topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getSequence())
                .toList();
    }

    private static List<Long> upTo(int frames) {
        return LongStream.range(0, frames).boxed().toList();
    }
}
