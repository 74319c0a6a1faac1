package io.upliftstream.tools.claim;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.PayloadStore;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.cli.Commands;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Large features through a directory of this machine, with jobs that are killed, and back. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class ClaimCheckITCase {
    private static final int FRAMES = 24;
    private static final LargeFeatures ENGINE = new LargeFeatures(100_000, 600_000);

    private static EmbeddedKafka kafka;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @BeforeAll
    static void start() throws IOException {
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void stop() {
        kafka.close();
    }

    private ClaimJob job(String test, String... settings) throws Exception {
        ClaimJob job = new ClaimJob(
                kafka, Topics.create(kafka, test, 1, 1 << 20), ENGINE, directory, List.of(settings), Map.of());
        job.publish(FRAMES);
        return job;
    }

    @Test
    void killedJobsLeaveOrphansAtMostWhichASweepRemoves() throws Exception {
        Path claims = directory.resolve("claims");
        ClaimJob job = job("killed", "uplift.output.claim-check.directory=" + claims.toUri());
        job.run(FRAMES, 2);
        List<String> referenced = job.assertAllThere(FRAMES, PayloadStore.directory(claims));
        assertThat(referenced).hasSizeBetween(1, FRAMES - 1); // some are small

        // As if it had been written a while ago; no job writes there any more.
        Path today = claims.resolve(LocalDate.now(ZoneOffset.UTC).toString());
        Path then = claims.resolve("2026-01-01");
        Commands young = Commands.run(arguments(job, "claim-check", "sweep", "--delete"));
        assertThat(young.exitCode()).as(young.output()).isZero();
        assertThat(files(claims)).containsAll(referenced);
        Files.move(today, then);
        String orphan = "cd".repeat(32);
        Files.createDirectories(then.resolve("cd"));
        Files.writeString(then.resolve("cd").resolve(orphan), "what a crash left");
        Path foreign = Files.writeString(then.resolve("cd").resolve("README"), "not a payload");

        Commands dry = Commands.run(arguments(job, "claim-check", "sweep"));
        assertThat(dry.exitCode()).as(dry.output()).isZero();
        assertThat(dry.output()).contains(orphan, "--delete removes them").doesNotContain(referenced.get(0));
        assertThat(files(claims)).contains(orphan);
        for (boolean delete : new boolean[] {false, true}) {
            List<String> arguments = arguments(job, "claim-check", "sweep");
            arguments.addAll(List.of("--set", "uplift.output.segmentation.topic=nobodys"));
            arguments.addAll(delete ? List.of("--delete") : List.of());
            Commands headless = Commands.run(arguments);
            assertThat(headless.exitCode()).as(headless.output()).isEqualTo(delete ? 3 : 0);
            assertThat(headless.output()).contains("topic: nobodys is not ", " uplift.output.segmentation.topic=none ");
            assertThat(headless.output().contains(orphan)).isNotEqualTo(delete);
            assertThat(files(claims)).contains(orphan);
        }
        Commands sweep = Commands.run(arguments(job, "claim-check", "sweep", "--delete"));
        assertThat(sweep.exitCode()).as(sweep.output()).isZero();
        assertThat(files(claims)).doesNotContain(orphan).containsAll(referenced);
        assertThat(foreign).exists();
        Files.move(then, today);
        job.assertAllThere(FRAMES, PayloadStore.directory(claims));
    }

    @Test
    void whatComesBackIsWhatWouldHaveBeenInline() throws Exception {
        Path claims = directory.resolve("claims");
        ClaimJob inline = job("inline");
        inline.run(FRAMES, 0);
        ClaimJob claimed = job("claimed", "uplift.output.claim-check.directory=" + claims.toUri());
        claimed.run(FRAMES, 0);

        assertThat(consumed(inline, "a")).hasSize(FRAMES).isEqualTo(consumed(claimed, "b"));
        Path moved = Files.move(claims, directory.resolve("moved"));
        Commands lost = Commands.run(
                arguments(claimed, "consume", "features", "--format", "npy", "--output", out("c").toString()));
        assertThat(lost.exitCode()).isEqualTo(1);
        assertThat(lost.output())
                .contains("claimed-features, partition 0, offset ", " cannot be read: ")
                .contains("not readable");
        Commands found = Commands.run(arguments(
                claimed,
                "consume",
                "features",
                "--claim-check",
                moved.toString(),
                "--format",
                "npy",
                "--output",
                out("d").toString()));
        assertThat(found.exitCode()).as(found.output()).isZero();
    }

    private Path out(String name) {
        return directory.resolve("out-" + name);
    }

    private Map<String, String> consumed(ClaimJob job, String name) throws Exception {
        Commands consume = Commands.run(arguments(
                job,
                "consume",
                "features",
                "--format",
                "npy",
                "--output",
                out(name).toString()));
        assertThat(consume.exitCode()).as(consume.output()).isZero();
        try (Stream<Path> arrays = Files.list(out(name))) {
            return arrays.collect(
                    Collectors.toMap(array -> array.getFileName().toString(), array -> Integer.toString(hash(array))));
        }
    }

    private static int hash(Path file) {
        try {
            return Arrays.hashCode(Files.readAllBytes(file));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static List<String> arguments(ClaimJob job, String... command) {
        List<String> arguments = new ArrayList<>(List.of(command));
        job.assignments().forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        return arguments;
    }

    private static Set<String> files(Path claims) throws IOException {
        try (Stream<Path> files = Files.walk(claims)) {
            return files.filter(Files::isRegularFile)
                    .map(file -> file.getFileName().toString())
                    .collect(Collectors.toSet());
        }
    }
}
