package io.upliftstream.tools.embedded;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which state is the newest, and what is removed; RestartITCase has states of real jobs, and the locks. */
class JobStateTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final JobID before = new JobID();
    private final JobID now = new JobID();

    @SuppressWarnings("NullAway.Init")
    private JobState state;

    @BeforeEach
    void setUp() {
        state = new JobState(new org.apache.flink.core.fs.Path(directory.toUri()));
    }

    private void save(String name, long checkpoint) throws IOException {
        Path saved = Files.createDirectories(directory.resolve(name));
        try (OutputStream out = Files.newOutputStream(saved.resolve("_metadata"))) {
            Checkpoints.storeCheckpointMetadata(new CheckpointMetadata(checkpoint, List.of(), List.of()), out);
        }
    }

    private List<String> left() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }

    @Test
    void theNewestIsTheOneWithTheHighestNumberInsideOfItThatIsComplete() throws IOException {
        assertThat(state.newest()).isEmpty();
        save(before + "/chk-9", 9);
        save("savepoint-9", 11);
        save(now + "/chk-2", 12);
        Files.createDirectories(directory.resolve(now + "/chk-99"));
        assertThat(state.newest()).get().satisfies(newest -> {
            assertThat(newest.path()).endsWith(now + "/chk-2");
            assertThat(newest.checkpoint()).isEqualTo(12);
            assertThat(newest.toString()).startsWith("checkpoint of 20");
        });
        save("savepoint-1", 13);
        assertThat(state.newest()).get().asString().startsWith("savepoint of 20");
    }

    @Test
    void whatFormerRunsLeftGoesWhenThereIsSomethingNewer() throws IOException {
        save(before + "/chk-9", 9);
        save("savepoint-9", 11);
        Files.createDirectories(directory.resolve(now + "/shared"));
        assertThat(state.prune(now)).as("the run has no checkpoint yet").isFalse();
        assertThat(left()).contains("savepoint-9", before.toString());
        save(now + "/chk-12", 12);
        assertThat(state.prune(now)).isTrue();
        assertThat(left()).containsExactly(now.toString());
        save("savepoint-13", 13);
        assertThat(state.prune(null)).isTrue();
        assertThat(left()).containsExactly("savepoint-13");
        state.clear();
        assertThat(state.newest()).isEmpty();
    }

    @Test
    void aDamagedStateIsNamed() throws IOException {
        save("savepoint-1", 1);
        Files.write(directory.resolve("savepoint-1").resolve("_metadata"), new byte[] {1, 2, 3});
        assertThatThrownBy(state::newest)
                .isInstanceOf(StartupException.class)
                .hasMessageContainingAll("state file:", "savepoint-1", "--fresh");
    }
}
