package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.PayloadReference;
import io.upliftstream.schemas.PayloadStore;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordingFile;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Large payloads of the operator's records, and what becomes of frames whose payloads nobody takes. */
class ClaimCheckTest extends OperatorTest {
    private static final String DAY = "2023-11-14"; // of TestFrames.RECORDED

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> open(Path claims, String... more)
            throws Exception {
        return open(Stream.concat(
                        Stream.of(
                                "uplift.output.claim-check.directory",
                                claims.toUri().toString(),
                                "uplift.output.claim-check.above",
                                "2 bytes",
                                "uplift.output.claim-check.timeout",
                                "300 ms"),
                        Stream.of(more))
                .toArray(String[]::new));
    }

    /** A directory that cannot be one. */
    private Path refusing() throws IOException {
        return Files.writeString(directory.resolve("full"), "");
    }

    private static void drain(OneInputStreamOperatorTestHarness<RawFrame, ?> harness) throws Exception {
        harness.prepareSnapshotPreBarrier(1);
    }

    @Test
    void recordsReferToFilesThatAreThere() throws Exception {
        engine.answerAll();
        var inline = open();
        var harness = open(directory);
        for (long sequence = 0; sequence < 5; sequence++) {
            process(inline, TestFrames.cameraFrame("north", sequence));
            process(harness, TestFrames.cameraFrame("north", sequence));
        }
        drain(inline);
        drain(harness);

        List<FeatureRecord> records = decode(harness, "features", FeatureRecord.class);
        assertThat(records).hasSize(5).allSatisfy(record -> {
            assertThat(record.getTensor().getData().remaining()).isZero();
            PayloadReference reference = record.getTensor().getReference().orElseThrow();
            assertThat(reference.getUri())
                    .endsWith("/%s/%s/%s".formatted(DAY, reference.getSha256().substring(0, 2), reference.getSha256()));
            assertThat(Path.of(URI.create(reference.getUri()))).hasSize(reference.getLength());
        });
        assertThat(segmentations(harness, PayloadStore.directory(directory))).isEqualTo(segmentations(inline, null));
        // The frames have the same results, so the same payloads: a mask, and tensors of features and depth.
        try (Stream<Path> files = Files.walk(directory)) {
            assertThat(files.filter(Files::isRegularFile)).hasSize(3);
        }
    }

    /** Without that, a loss of power takes the name of a file that a committed record refers to. */
    @Test
    void theNamesOfFilesAndFoldersAreOnTheDiskBeforeTheirRecordIsHandedOn() throws Exception {
        engine.answerAll();
        Path recorded = directory.resolve("recorded.jfr");
        Path claims = Files.createDirectory(directory.resolve("claims"));
        try (Recording recording = new Recording()) {
            recording.enable("jdk.FileForce").withoutThreshold();
            recording.start();
            var harness = open(claims);
            process(harness, TestFrames.cameraFrame("north", 0));
            drain(harness);
            recording.dump(recorded);
        }

        List<Path> synced = RecordingFile.readAllEvents(recorded).stream()
                .map(event -> event.getString("path"))
                .filter(Objects::nonNull)
                .map(Path::of)
                .toList();
        try (Stream<Path> paths = Files.walk(claims)) {
            assertThat(synced).containsAll(paths.filter(Files::isDirectory).toList());
        }
    }

    private static List<Object> segmentations(
            OneInputStreamOperatorTestHarness<?, OutputMessage> harness, @Nullable PayloadStore store) {
        return harness.extractOutputValues().stream()
                .filter(message -> message.topic().equals("segmentation"))
                .<Object>map(message -> store == null
                        ? SingleObject.decode(message.value(), SegmentationRecord.class)
                                .getMask()
                        : SingleObject.decode(message.value(), SegmentationRecord.class, store)
                                .getMask())
                .toList();
    }

    @Test
    void anOriginalThatIsLargeGoesThereToo() throws Exception {
        var harness = open(directory);
        byte[] value = {'n', 'o', ' ', 'f', 'r', 'a', 'm', 'e'};
        process(harness, TestFrames.raw(7, "north", value));
        process(harness, TestFrames.raw(8, "north", new byte[] {1, 2}));
        drain(harness);

        List<FrameFailure> failures = decode(harness, "failures", FrameFailure.class);
        assertThat(failures).hasSize(2);
        assertThat(failures.get(0).getOriginal()).isEmpty();
        assertThat(Path.of(URI.create(
                        failures.get(0).getOriginalReference().orElseThrow().getUri())))
                .hasBinaryContent(value);
        assertThat(failures.get(1).getOriginal()).isPresent();
    }

    /** It is no frame's fault, so it is none's failure. */
    @Test
    void inLosslessModeAStoreThatRefusesFailsTheJob() throws Exception {
        engine.answerAll();
        var harness = open(refusing());
        process(harness, TestFrames.cameraFrame("north", 1));

        assertThatThrownBy(() -> drain(harness))
                .isInstanceOf(CompletionException.class)
                .hasMessageContaining("claim check: file:")
                .hasMessageContaining("took no payload within 300 ms (expected: a store that does; its last answer: ");
        assertThat(harness.extractOutputValues()).isEmpty();
    }

    @Test
    void inLiveModeItCostsFramesAndNothingElse() throws Exception {
        engine.answerAll();
        var harness = open(refusing(), "uplift.mode", "live", "uplift.max-age", "200 ms");
        process(harness, TestFrames.cameraFrame("north", 1));
        process(harness, TestFrames.raw(8, "south", new byte[] {'n', 'o', 'n', 'e'}));
        drain(harness);

        assertThat(decode(harness, "dropped", FrameDropped.class))
                .extracting(FrameDropped::getReason)
                .containsExactly("CLAIM_CHECK");
        assertThat(decode(harness, "failures", FrameFailure.class))
                .singleElement()
                .satisfies(failure -> {
                    assertThat(failure.getOriginal()).isPresent(); // it fits
                    assertThat(failure.getOriginalReference()).isEmpty();
                });
    }

    private ClaimCheck slow(int working) {
        return new ClaimCheck("slow:" + directory, 0, Duration.ofMillis(500), working, clock);
    }

    private static FrameFailure payload(int i) {
        FrameFailure failure = new FrameFailure();
        failure.put("original", ByteBuffer.wrap(new byte[] {(byte) i}));
        return failure;
    }

    /** Twelve times 100 ms, on one thread, for frames with one payload and for one with six. */
    @Test
    void theTimeoutIsThatOfOnePayload() {
        SlowFileSystem.answersWithin(100);
        try (ClaimCheck check = slow(1)) {
            List<CompletableFuture<Void>> frames = IntStream.rangeClosed(1, 7)
                    .mapToObj(frame -> check.<Void>run(() -> {
                        IntStream.range(0, frame == 7 ? 6 : 1).forEach(i -> check.checkIn(payload(frame * 10 + i)));
                        return null;
                    }))
                    .toList();
            CompletableFuture.allOf(frames.toArray(CompletableFuture[]::new)).join();
            assertThat(check.written()).isEqualTo(12);
        }
    }

    /** Its thread never comes back, and what comes after it is told so in time all the same. */
    @Test
    void aStoreThatDoesNotAnswerIsGivenUpForEachPayload() {
        SlowFileSystem.answersNothing();
        try (ClaimCheck check = slow(1)) {
            for (int frame = 0; frame < 3; frame++) {
                CompletableFuture<Void> run = check.run(() -> {
                    check.checkIn(payload(1));
                    return null;
                });
                assertThatThrownBy(() -> run.get(5, TimeUnit.SECONDS))
                        .cause()
                        .isInstanceOf(ClaimCheck.Unavailable.class)
                        .hasMessageContaining("took no payload within 500 ms")
                        .hasMessageContaining("it does not answer");
            }
        } finally {
            SlowFileSystem.answersWithin(0);
        }
    }

    /** Records refer to it: a crash while it is replaced would leave them without. */
    @ParameterizedTest
    @ValueSource(strings = {"file:", "slow:"})
    void aPayloadThatIsThereStays(String scheme) throws Exception {
        try (ClaimCheck check = new ClaimCheck(scheme + directory, 0, Duration.ofSeconds(5), 1, clock)) {
            check.checkIn(payload(1));
            Path file = onlyFile();
            Object inode = Files.getAttribute(file, "unix:ino");
            check.checkIn(payload(1));
            assertThat(onlyFile()).isEqualTo(file);
            assertThat(Files.getAttribute(file, "unix:ino")).isEqualTo(inode);

            Files.write(file, new byte[2]);
            check.checkIn(payload(1));
            assertThat(onlyFile()).isEqualTo(file).hasBinaryContent(new byte[] {1});
        }
    }

    private Path onlyFile() throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            return files.filter(Files::isRegularFile)
                    .reduce((one, other) -> fail(one + " and " + other))
                    .orElseThrow();
        }
    }

    /** It may be one that shows what is written while it is, as Azure's do. */
    @Test
    void aStoreThatIsNotKnownGetsAFileUnderAnotherNameFirst() {
        try (ClaimCheck check = slow(1)) {
            check.checkIn(payload(1));
            assertThat(SlowFileSystem.created.getName()).startsWith(".");
            SlowFileSystem.answersNothing();
            check.checkIn(payload(1));
        } finally {
            SlowFileSystem.answersWithin(0);
        }
    }

    private static RawFrame noFrame(String cameraId) {
        return TestFrames.raw(1, cameraId, new byte[] {'n', 'o', 'n', 'e'});
    }

    @Test
    void inLosslessModeNoMoreOriginalsWaitForTheStoreThanFramesMayBeAtWork() throws Exception {
        SlowFileSystem.answersNothing();
        var harness = open(
                Path.of("/"),
                "uplift.output.claim-check.directory",
                "slow:" + directory,
                "uplift.output.claim-check.timeout",
                "20 s",
                "uplift.queue.capacity",
                "2");
        process(harness, noFrame("north"));
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
        CompletableFuture<Void> store = CompletableFuture.runAsync(() -> {
            while (SlowFileSystem.gate.getQueueLength() < 2) {
                Thread.onSpinWait();
            }
            SlowFileSystem.answersWithin(0);
        });
        process(harness, noFrame("south"));
        assertThat(decode(harness, "failures", FrameFailure.class)).isNotEmpty();
        store.join();
    }

    @Test
    void inLiveModeWhatIsMoreGoesWithoutTheStore() throws Exception {
        SlowFileSystem.answersNothing();
        var harness = open(
                Path.of("/"),
                "uplift.output.claim-check.directory",
                "slow:" + directory,
                "uplift.mode",
                "live",
                "uplift.max-age",
                "20 s",
                "uplift.output.claim-check.timeout",
                "20 s",
                "uplift.queue.capacity",
                "2");
        for (String camera : List.of("north", "south", "east")) {
            process(harness, noFrame(camera));
        }
        runMails(harness);
        assertThat(decode(harness, "failures", FrameFailure.class))
                .singleElement()
                .satisfies(failure -> {
                    assertThat(failure.getHeader().getCameraId()).isEqualTo("east");
                    assertThat(failure.getOriginal()).isPresent();
                });
        SlowFileSystem.answersWithin(0);
        drain(harness);
        assertThat(decode(harness, "failures", FrameFailure.class)).hasSize(3);
    }

    @Test
    void aDirectoryThatCannotBeWrittenToIsSaidBeforeTheJobStarts() throws Exception {
        Path file = refusing();
        assertThatThrownBy(() -> ClaimCheck.probe(file.toString(), Duration.ofSeconds(5)))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("claim check: " + file + " cannot be written to: ");
        assertThatThrownBy(() -> ClaimCheck.probe("s4://bucket/claims", Duration.ofSeconds(5)))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("its file system among Flink's");
        ClaimCheck.probe(directory.resolve("new").toString(), Duration.ofSeconds(5));
        assertThat(directory.resolve("new")).isEmptyDirectory();
    }
}
