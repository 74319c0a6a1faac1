package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Finds the files of a claim check that no record refers to.
 *
 * <p>Files are listed first and topics read after that, with what open and given-up transactions hold. A file's age counts
 * from the end of the day of its folder, in UTC: no job writes there any more. Records are not decoded: wherever 64
 * hexadecimal digits stand in a value, of whatever schema or framing, the file of that name is left alone.
 */
public final class ClaimCheckSweep {
    private static final Pattern FILE = Pattern.compile("\\.?([0-9a-f]{64})(\\.[0-9a-f-]{36})?");
    private static final int DIGITS = 64;
    private static final Duration POLL = Duration.ofMillis(200);

    private final Path directory;
    private final FileSystem files;
    private final Map<String, List<FileStatus>> unreferenced = new HashMap<>();
    private long records;

    /** Lists nothing yet. */
    public ClaimCheckSweep(String directory) throws IOException {
        this.directory = new Path(directory);
        files = this.directory.getFileSystem();
    }

    /**
     * Lists the files that are old enough.
     *
     * @throws FileNotFoundException if there is no such directory
     */
    public void list(Instant olderThan) throws IOException {
        for (FileStatus day : children(directory)) {
            if (endsBefore(day.getPath().getName(), olderThan)) {
                for (FileStatus part : children(day.getPath())) {
                    for (FileStatus file : children(part.getPath())) {
                        Matcher name = FILE.matcher(file.getPath().getName());
                        if (!file.isDir() && name.matches()) {
                            unreferenced
                                    .computeIfAbsent(name.group(1), unused -> new ArrayList<>(1))
                                    .add(file);
                        }
                    }
                }
            }
        }
    }

    private List<FileStatus> children(Path folder) throws IOException {
        FileStatus[] children = files.listStatus(folder);
        if (children == null) {
            throw new FileNotFoundException(folder + " is not there");
        }
        return List.of(children);
    }

    private static boolean endsBefore(String day, Instant instant) {
        try {
            return !LocalDate.parse(day)
                    .plusDays(1)
                    .atStartOfDay()
                    .toInstant(ZoneOffset.UTC)
                    .isAfter(instant);
        } catch (DateTimeParseException e) { // not a folder of ours
            return false;
        }
    }

    /**
     * Leaves out what the records of these topics refer to.
     *
     * @param progress is told how many records were read and how many there are, about
     */
    public void keepReferenced(JobSettings settings, Set<String> topics, Consumer<String> progress) {
        try (KafkaConsumer<byte[], byte[]> consumer =
                RecordReader.consumer(settings, Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted"))) {
            List<TopicPartition> partitions = topics.stream()
                    .flatMap(topic -> consumer.partitionsFor(topic).stream())
                    .map(info -> new TopicPartition(info.topic(), info.partition()))
                    .toList();
            consumer.assign(partitions);
            Map<TopicPartition, Long> begin = consumer.beginningOffsets(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long all = sum(ends.values()) - sum(begin.values());
            consumer.seekToBeginning(partitions);
            // The position also passes the markers of transactions, which are no records.
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    records++;
                    if (record.value() != null) {
                        hashes(record.value(), unreferenced::remove);
                    }
                }
                progress.accept("%d of at most %d records read, %d payloads without one so far"
                        .formatted(records, all, unreferenced.size()));
            }
        }
    }

    private static long sum(Collection<Long> numbers) {
        return numbers.stream().mapToLong(Long::longValue).sum();
    }

    /** Every 64 hexadecimal digits in a row, also where more of them touch. */
    static void hashes(byte[] value, Consumer<String> hash) {
        int run = 0;
        for (int i = 0; i < value.length; i++) {
            byte b = value[i];
            run = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'f') ? run + 1 : 0;
            if (run >= DIGITS) {
                hash.accept(new String(value, i + 1 - DIGITS, DIGITS, StandardCharsets.ISO_8859_1));
            }
        }
    }

    /**
     * Removes what is left.
     *
     * @param problem is told of each file that cannot be removed
     */
    public void delete(Consumer<String> problem) {
        for (List<FileStatus> same : unreferenced.values()) {
            for (FileStatus file : same) {
                try {
                    if (!files.delete(file.getPath(), false) && files.exists(file.getPath())) {
                        throw new IOException("it is still there");
                    }
                    removeIfEmpty(file.getPath().getParent());
                } catch (IOException e) {
                    problem.accept("%s was not removed: %s".formatted(file.getPath(), e));
                }
            }
        }
    }

    /** A folder of two digits, and that of the day, of which object stores have none. */
    private void removeIfEmpty(Path folder) throws IOException {
        for (Path each : List.of(folder, folder.getParent())) {
            if (!files.exists(each) || files.listStatus(each).length > 0) {
                return;
            }
            boolean unused = files.delete(each, false);
        }
    }

    /** Records that were read. */
    public long records() {
        return records;
    }

    /** Files that are old enough and that no record refers to, as far as records were read. */
    public List<FileStatus> unreferenced() {
        return unreferenced.values().stream().flatMap(List::stream).toList();
    }
}
