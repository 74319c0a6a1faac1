package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The commands of {@code uplift model} that change a running job, said to one. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class ModelCommandITCase {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private List<String> assignments = List.of();

    @Test
    void changeARunningJob() throws Exception {
        Path one = TinyBundle.copy(directory, "1");
        Path two = TinyBundle.copy(directory, "2");
        String first = ModelBundle.load(one).sha256();
        String second = ModelBundle.load(two).sha256();
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "commands", 2, 1 << 20);
            kafka.createTopic("control", 1, Map.of());
            kafka.createTopic("answers", 1, Map.of());
            assignments = topics.assignments(
                    "uplift.model.bundle=" + one,
                    "uplift.input.stop=never",
                    "uplift.parallelism=2",
                    "uplift.control.topic=control",
                    "uplift.control.answers=answers",
                    "uplift.control.cache.directory=" + directory.resolve("cache"));
            JobSettings settings = JobSettings.load(null, Map.of(), assignments);
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 2)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(env, settings);
                EmbeddedFlink.Job job = flink.submit(env);
                job.awaitRunning();

                assertEnds(0, "serving tiny 1, sha256 " + first, uplift("status"));
                assertEnds(0, "activated tiny 2, sha256 " + second, uplift("activate", two.toString()));
                assertEnds(
                        0, "changed tiny 2, sha256 " + second + ", heads off: depth", uplift("head", "depth", "off"));
                assertEnds(0, "serving tiny 2, sha256 " + second + ", heads off: depth", uplift("status"));
                assertEnds(0, "rolled back tiny 1, sha256 " + first + ", loaded in ", uplift("roll-back"));
                assertEnds(
                        0, "changed tiny 1, sha256 " + first + System.lineSeparator(), uplift("head", "depth", "on"));
                assertEnds(
                        1,
                        "refused: head: nose (expected: one of [classes, features, depth]); still serving tiny 1",
                        uplift("head", "nose", "on"));
                assertEnds(1, "refused: bundle ", uplift("activate", two.toString(), "--sha256", "00".repeat(32)));
                assertEnds(0, "scheduled tiny 2", uplift("activate", two.toString(), "--from", "2200-01-01T00:00:00Z"));
                assertEnds(0, "rolled back tiny 1", uplift("roll-back"));
                job.stop(
                        Duration.ofMinutes(1),
                        directory.resolve("savepoint").toUri().toString(),
                        false);
            }
            Commands nobody = uplift("status", "--wait", "1");
            assertThat(nobody.exitCode()).as(nobody.output()).isNotZero();
            assertThat(nobody.output()).contains("0 answers within 1 s (expected: one a subtask; is the job running");
        }
    }

    @Test
    void waitForASecondAtLeast() {
        for (List<String> command : List.of(
                List.of("activate", "/somewhere", "--sha256", "00".repeat(32)),
                List.of("roll-back"),
                List.of("head", "depth", "off"),
                List.of("status"))) {
            for (String seconds : List.of("0", "-5")) {
                List<String> all = new ArrayList<>(command);
                all.addAll(List.of("--wait", seconds));
                Commands ended = uplift(all.toArray(String[]::new));
                assertThat(ended.exitCode()).as(ended.output()).isEqualTo(2);
                assertThat(ended.output()).contains("--wait: " + seconds + " (expected: >= 1)");
            }
        }
    }

    /** Both subtasks say it. */
    private static void assertEnds(int exitCode, String said, Commands ended) {
        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(exitCode);
        assertThat(ended.output()).contains("subtask 0 of 2: " + said, "subtask 1 of 2: " + said);
    }

    private Commands uplift(String... arguments) {
        List<String> all = new ArrayList<>(
                Stream.concat(Stream.of("model"), Stream.of(arguments)).toList());
        assignments.forEach(assignment -> all.addAll(List.of("--set", assignment)));
        return Commands.run(all);
    }
}
