package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What needs root or a program that is missing is not tried; that it is left out and named is. */
class MeansTest {
    private static final List<String> PROCESSES = List.of("one", "other");

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void whatCannotBeMadeIsNamedWithItsReason() throws Exception {
        try (Means means = new Means(directory)) {
            means.prepare(EnumSet.allOf(FaultKind.class), PROCESSES);
            assertThat(means.impossible().keySet())
                    .noneMatch(kind -> Set.of("kill", "broker", "pause", "reader", "publisher")
                            .contains(kind.family()));
            assertThat(means.impossible().values()).noneMatch(String::isBlank);
        }
        try (Stream<Path> left = Files.walk(directory)) {
            assertThat(left.filter(file -> file.endsWith("checkpoints")))
                    .allSatisfy(disk -> assertThat(Files.getFileStore(disk)).isEqualTo(Files.getFileStore(directory)));
        }
    }

    @Test
    void whatIsNotAskedForIsNotMade() throws Exception {
        try (Means means = new Means(directory)) {
            means.prepare(Set.of(FaultKind.PAUSE_BROKER), PROCESSES);
            assertThat(means.impossible()).isEmpty();
            assertThat(means.network().address("other")).isEqualTo("127.0.0.1");
            assertThat(means.network().enter("other")).isEmpty();
            assertThat(means.environment("other")).isEmpty();
        }
    }

    @Test
    void whatIsClosedMakesNothingMore() {
        Means means = new Means(directory);
        means.close();
        assertThatThrownBy(() -> means.prepare(Set.of(FaultKind.DISK_FULL_BROKER), PROCESSES))
                .isInstanceOf(InterruptedIOException.class);
        assertThat(means.directory("checkpoints")).doesNotExist();
    }

    @Test
    void aCutSilencesOneDirectionUntilItIsHealed() throws Exception {
        try (Means means = new Means(directory)) {
            means.prepare(EnumSet.of(FaultKind.PAUSE_BROKER, FaultKind.NETWORK_ONE_WAY), PROCESSES);
            assumeTrue(means.impossible().get(FaultKind.NETWORK_ONE_WAY) == null, "no network namespaces here");
            assertThat(answers(means, "one", "other")).isTrue();
            means.network().cut("one", "other");
            assertThat(answers(means, "one", "other")).isFalse();
            means.network().heal("one");
            assertThat(answers(means, "one", "other")).isTrue();
        }
    }

    /** Nothing listens: a machine that is reached says so at once, of one that is not nothing is heard. */
    private static boolean answers(Means means, String from, String to) throws Exception {
        List<String> command = Stream.concat(
                        means.network().enter(from).stream(),
                        Stream.of(
                                "timeout",
                                "3",
                                "bash",
                                "-c",
                                "</dev/tcp/" + means.network().address(to) + "/9"))
                .toList();
        return new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .start()
                        .waitFor()
                != 124;
    }

    @Test
    void aDiskIsFullOrReadOnlyUntilItIsHealed() throws Exception {
        try (Means means = new Means(directory)) {
            means.prepare(EnumSet.of(FaultKind.PAUSE_BROKER, FaultKind.DISK_FULL_CHECKPOINTS), PROCESSES);
            assumeTrue(means.impossible().isEmpty(), "no file systems in memory here");
            Disk disk = means.disk("checkpoints");
            Path file = means.directory("checkpoints").resolve("file");
            Files.write(file, new byte[10_000]);

            disk.fill();
            assertThatThrownBy(() -> Files.write(file.resolveSibling("more"), new byte[10_000]))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("space");
            disk.heal();
            Files.write(file.resolveSibling("more"), new byte[10_000]);

            disk.makeReadOnly();
            assertThatThrownBy(() -> Files.write(file, new byte[1])).isInstanceOf(IOException.class);
            disk.heal();
            Files.write(file, new byte[1]);
        }
    }

    @Test
    void aDiskIsSlowToSyncForOneProcessUntilItIsHealed() throws Exception {
        Path file = directory.resolve("zookeeper").resolve("file");
        try (Means means = new Means(directory)) {
            means.prepare(EnumSet.of(FaultKind.PAUSE_BROKER, FaultKind.DISK_SLOW_ZOOKEEPER), PROCESSES);
            assumeTrue(means.impossible().isEmpty(), "no slow disks here");
            Process writer = new ProcessBuilder(
                            "sh", "-c", "read go; dd if=/dev/zero of=%s bs=512 count=40 oflag=dsync".formatted(file))
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try {
                means.slowDisk().slow(writer.pid());
                writer.outputWriter().append('\n').close();
                assertThat(writer.waitFor(300, TimeUnit.MILLISECONDS)).isFalse();
                Files.writeString(
                        file.resolveSibling("other"), "", StandardOpenOption.CREATE, StandardOpenOption.DSYNC);
                assertThat(writer.isAlive())
                        .as("it needs twenty seconds and more, another process no time")
                        .isTrue();
                means.slowDisk().heal();
                assertThat(writer.waitFor(10, TimeUnit.SECONDS)).isTrue();
                assertThat(file).hasSize(40 * 512);
            } finally {
                writer.destroyForcibly().waitFor();
            }
        }
        assertThat(file).doesNotExist();
        try (Stream<Path> groups = Files.walk(Path.of("/sys/fs/cgroup"), 2)) {
            assertThat(groups)
                    .noneMatch(group ->
                            group.endsWith("uplift-" + ProcessHandle.current().pid()));
        }
    }

    @Test
    void aClockGoesWrongByFractionsAndIsPutRight() throws Exception {
        try (Means means = new Means(directory)) {
            means.prepare(EnumSet.of(FaultKind.PAUSE_BROKER, FaultKind.CLOCK_DRIFT_AHEAD), PROCESSES);
            assumeTrue(means.impossible().isEmpty(), "no libfaketime here");
            Map<String, String> environment = means.environment("one");
            assertAhead(environment, 0);
            means.setClock("one", 2.5);
            assertAhead(environment, 2500);
            means.setClock("one", 0);
            assertAhead(environment, 0);
        }
    }

    /** What {@code date} says, less so many milliseconds, is between the times before and after it was asked. */
    private static void assertAhead(Map<String, String> environment, long millis) throws Exception {
        ProcessBuilder date = new ProcessBuilder("date", "+%s%3N");
        date.environment().putAll(environment);
        long before = System.currentTimeMillis();
        long said = Long.parseLong(
                new String(date.start().getInputStream().readAllBytes(), StandardCharsets.US_ASCII).strip());
        assertThat(said - millis).isBetween(before - 1, System.currentTimeMillis() + 1);
    }
}
