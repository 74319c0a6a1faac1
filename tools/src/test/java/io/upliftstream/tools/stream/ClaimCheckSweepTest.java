package io.upliftstream.tools.stream;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class ClaimCheckSweepTest {
    private static final String HASH = "0123456789abcdef".repeat(4);

    @TempDir
    private Path directory = Path.of(".");

    /** In Avro a length comes before each text, and its bytes may be digits, too. */
    @Test
    void hashesAreFoundWhateverIsAroundThem() {
        assertThat(hashes("")).isEmpty();
        assertThat(hashes(HASH.substring(1))).isEmpty();
        assertThat(hashes(HASH)).containsExactly(HASH);
        assertThat(hashes("\u0000/" + HASH + "\u0080\u0001" + HASH + "é")).containsExactly(HASH, HASH);
        assertThat(hashes("ab" + HASH + "0")).contains(HASH);
        assertThat(hashes(HASH.toUpperCase(Locale.ROOT))).isEmpty();
    }

    private Path file(String day, int number) throws IOException {
        String sha256 = "%02x%062x".formatted(number, number);
        Path file = directory.resolve(day).resolve(sha256.substring(0, 2)).resolve(sha256);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, "x");
    }

    private ClaimCheckSweep sweep(int batch) throws IOException {
        return new ClaimCheckSweep(
                directory.toUri().toString(), Instant.parse("2026-03-03T00:00:00Z"), batch, Duration.ofMillis(300));
    }

    @Test
    void aDirectoryIsSweptInBatchesTheOldestFirst() throws IOException {
        List<Path> files = new ArrayList<>();
        for (String day : List.of("2026-03-01", "2026-03-02")) {
            for (int part = 0; part < 5; part++) {
                files.add(file(day, part));
            }
        }
        file("2026-03-03", 7); // too young
        ClaimCheckSweep sweep = sweep(3);
        List<String> found = new ArrayList<>();
        List<Integer> batches = new ArrayList<>();
        boolean more;
        do {
            more = sweep.list();
            batches.add(sweep.unreferenced().size());
            sweep.unreferenced().forEach(file -> found.add(file.getPath().getPath()));
            sweep.delete(problem -> fail(problem));
        } while (more);

        assertThat(found)
                .containsExactlyInAnyOrderElementsOf(
                        files.stream().map(Path::toString).toList());
        assertThat(batches).allSatisfy(size -> assertThat(size).isBetween(1, 3)).hasSizeGreaterThan(3);
        assertThat(found.get(0)).contains("2026-03-01");
        assertThat(directory.resolve("2026-03-02")).doesNotExist();
    }

    @Test
    @Timeout(30)
    void aBrokerThatGivesNoMoreIsSaid() throws IOException {
        MockConsumer<byte[], byte[]> consumer = new MockConsumer<>("earliest");
        TopicPartition partition = new TopicPartition("features", 0);
        consumer.updatePartitions("features", List.of(new PartitionInfo("features", 0, null, null, null)));
        consumer.updateBeginningOffsets(Map.of(partition, 0L));
        consumer.updateEndOffsets(Map.of(partition, 3L));
        consumer.schedulePollTask(
                () -> consumer.addRecord(new ConsumerRecord<>("features", 0, 0, new byte[0], HASH.getBytes(US_ASCII))));
        ClaimCheckSweep sweep = sweep(3);

        assertThatThrownBy(() -> sweep.keepReferenced(consumer, Set.of("features"), line -> {}))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("topics features: 1 of at most 3 records read, and no further one for 300 ms");
    }

    private static List<String> hashes(String value) {
        List<String> found = new ArrayList<>();
        ClaimCheckSweep.hashes(value.getBytes(StandardCharsets.ISO_8859_1), found::add);
        return found;
    }
}
