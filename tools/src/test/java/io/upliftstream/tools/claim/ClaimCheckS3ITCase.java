package io.upliftstream.tools.claim;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.PayloadReference;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.cli.Commands;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Large features through an object store and back. {@code -Dclaim.records=2000 -Dclaim.kills=10} for a long run.
 */
@Tag("servers")
@Timeout(value = 60, unit = TimeUnit.MINUTES)
class ClaimCheckS3ITCase {
    private static final int RECORDS = Integer.getInteger("claim.records", 30);
    private static final int KILLS = Integer.getInteger("claim.kills", 2);
    private static final LargeFeatures ENGINE = new LargeFeatures(1 << 20, 8 << 20);
    private static final LargeFeatures SMALLER = new LargeFeatures(300_000, 600_000);

    @TempDir
    private static Path directory = Path.of(".");

    private static EmbeddedKafka kafka;
    private static ObjectStore store;

    @BeforeAll
    static void start() throws Exception {
        store = new ObjectStore(directory);
        kafka = EmbeddedKafka.start();
    }

    @AfterAll
    static void stop() throws Exception {
        if (kafka != null) {
            kafka.close();
        }
        if (store != null) {
            store.close();
        }
    }

    private static ClaimJob job(String test, LargeFeatures engine, int frames, List<String> settings) throws Exception {
        ClaimJob job = new ClaimJob(
                kafka, Topics.create(kafka, test, 1, 1 << 20), engine, directory, settings, store.environment());
        job.publish(frames);
        return job;
    }

    private static List<String> settings(int through, String... more) {
        List<String> settings = new ArrayList<>(store.settings(through));
        settings.addAll(List.of(more));
        return settings;
    }

    @Test
    void killedJobsLeaveEveryRecordOnceWithItsPayload() throws Exception {
        ClaimJob job = job("killed", ENGINE, RECORDS, settings(store.port()));
        long start = System.nanoTime();
        job.run(RECORDS, KILLS);
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
        assertThat(job.assertAllThere(RECORDS, store.store())).hasSize(RECORDS);
        System.out.printf("%d records, %d kills: %.1f s%n", RECORDS, KILLS, millis / 1e3);

        Commands consume = Commands.run(
                directory,
                ClaimCheckITCase.arguments(job, "consume", "features", "--limit", "20", "--output", "unused"),
                store.environment());
        assertThat(consume.exitCode()).as(consume.output()).isZero();
        assertThat(consume.output()).contains("20 features records from topic killed-features");
        Commands sweep =
                Commands.run(directory, ClaimCheckITCase.arguments(job, "claim-check", "sweep"), store.environment());
        assertThat(sweep.exitCode()).as(sweep.output()).isZero();
        assertThat(sweep.output()).contains("0 payloads (0 bytes) in s3://bucket/claims");
    }

    /** What a record costs on its way through the store, beside one that goes whole. */
    @Test
    void costsBesideInline() throws Exception {
        int frames = Math.max(60, RECORDS / 10);
        for (String way : List.of("inline", "claimed", "inline2", "claimed2")) {
            ClaimJob job = job(
                    way,
                    SMALLER,
                    frames,
                    way.startsWith("inline")
                            ? List.of()
                            : settings(store.port(), "uplift.output.claim-check.above=1 kb"));
            String said = job.run(frames, 0);
            System.out.println(way + ": " + frames + " frames of 300 to 600 KB; "
                    + said.lines().filter(line -> line.startsWith("took")).collect(Collectors.joining()));
            job.assertAllThere(frames, store.store());
        }
    }

    /** Refused, failing or full stores, or none that answers: lossless frames wait, and all come once it takes them. */
    @ParameterizedTest
    @ValueSource(ints = {403, 500, 507, FaultyDoor.SILENT})
    void losslessFramesWaitForTheStore(int fault) throws Exception {
        try (FaultyDoor door = new FaultyDoor(store.port())) {
            ClaimJob job = job(
                    "lossless" + fault, SMALLER, 10, settings(door.port(), "uplift.output.claim-check.timeout=1 s"));
            door.answer = fault;
            CompletableFuture<String> run = CompletableFuture.supplyAsync(() -> {
                try {
                    return job.run(10, 0);
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            });
            while (door.refused.get() < 2) {
                assertThat(run).isNotDone();
                Thread.sleep(50);
            }
            Thread.sleep(12_000);
            assertThat(job.topics().read("features", "read_committed", FeatureRecord.class))
                    .isEmpty();
            door.answer = FaultyDoor.OPEN;
            assertThat(run.get()).contains("totals").doesNotContain("restarts 0");
            job.assertAllThere(10, store.store());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {403, FaultyDoor.SILENT})
    void liveFramesAreLetGo(int fault) throws Exception {
        try (FaultyDoor door = new FaultyDoor(store.port())) {
            ClaimJob job = job(
                    "live" + fault,
                    SMALLER,
                    6,
                    settings(
                            door.port(),
                            "uplift.mode=live",
                            "uplift.max-age=10 min",
                            "uplift.input.start=earliest",
                            "uplift.output.claim-check.timeout=500 ms"));
            door.answer = fault;
            assertThat(job.run(6, 0)).contains("restarts 0", "frames.dropped=6");
            assertThat(job.topics().read("dropped", "read_committed", FrameDropped.class))
                    .allSatisfy(dropped -> assertThat(dropped.getReason()).isEqualTo("CLAIM_CHECK"))
                    .extracting(FrameDropped::getCount)
                    .satisfies(counts -> assertThat(
                                    counts.stream().mapToLong(Long::longValue).sum())
                            .isEqualTo(6));
        }
    }

    @Test
    void whatCannotBeReadIsNamedAndTheRestIsRead() throws Exception {
        ClaimJob job = job("read", SMALLER, 6, settings(store.port()));
        job.run(6, 0);
        List<String> names = job.topics().read("features", "read_committed", FeatureRecord.class).stream()
                .map(record -> record.getTensor().getReference().orElseThrow())
                .map(PayloadReference::getUri)
                .map(uri -> uri.replace("s3://bucket/claims/", ""))
                .toList();
        store.overwrite(names.get(0), new byte[1000]);
        store.delete(names.get(1));

        Commands consume =
                Commands.run(directory, ClaimCheckITCase.arguments(job, "consume", "features"), store.environment());
        assertThat(consume.exitCode()).as(consume.output()).isEqualTo(1);
        assertThat(consume.output())
                .contains(names.get(0) + " holds 1000 bytes (expected: ")
                .contains(names.get(1) + " cannot be read: ")
                .contains("4 features records", "2 not readable");
        try (FaultyDoor door = new FaultyDoor(store.port())) {
            door.answer = 403;
            List<String> refused = new ArrayList<>(ClaimCheckITCase.arguments(job, "consume", "features"));
            refused.addAll(List.of("--set", "s3.endpoint=http://127.0.0.1:" + door.port()));
            Commands nothing = Commands.run(directory, refused, store.environment());
            assertThat(nothing.exitCode()).as(nothing.output()).isEqualTo(1);
            assertThat(nothing.output()).contains("cannot be read: ", "6 not readable");
        }
    }

    @Test
    void aStoreThatRefusesIsSaidBeforeTheJobStarts() throws Exception {
        Topics topics = Topics.create(kafka, "probe", 1, 1 << 20);
        try (FaultyDoor door = new FaultyDoor(store.port())) {
            door.answer = 403;
            List<String> arguments = new ArrayList<>(List.of("run"));
            List<String> all = topics.assignments(settings(door.port()).toArray(String[]::new));
            all.forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
            Commands run = Commands.run(directory, arguments, store.environment());
            assertThat(run.exitCode()).as(run.output()).isEqualTo(3);
            assertThat(run.output()).contains("uplift: claim check: s3://bucket/claims cannot be written to: ");
        }
        List<String> arguments = new ArrayList<>(List.of("run"));
        topics.assignments(settings(store.port()).toArray(String[]::new))
                .forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        Commands without =
                Commands.run(directory, arguments, Map.of("FLINK_PLUGINS_DIR", directory.toString() + "/none"));
        assertThat(without.exitCode()).as(without.output()).isEqualTo(3);
        assertThat(without.output()).contains("Could not find a file system implementation for scheme 's3'");
        Commands run = Commands.run(directory, arguments, store.environment());
        assertThat(run.exitCode()).as(run.output()).isZero();
    }
}
