package io.upliftstream.tools.stream;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.StartupException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.time.format.DateTimeParseException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
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
import org.apache.kafka.common.errors.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Finds the files of a claim check that no record refers to, in batches, so that a directory of any size can be swept: each
 * batch reads the topics once.
 *
 * <p>Files are listed first and topics read after that, with what open and given-up transactions hold. A file's age counts
 * from the end of the day of its folder, in UTC: no job writes there any more. Records are not decoded: wherever 64
 * hexadecimal digits stand in a value, of whatever schema or framing, the file of that name is left alone.
 */
public final class ClaimCheckSweep {
    private static final Pattern FILE = Pattern.compile("\\.?([0-9a-f]{64})(\\.[0-9a-f-]{36})?");
    private static final int DIGITS = 64;
    private static final Duration POLL = Duration.ofMillis(200);

    /** Files of a batch, and those of one of a day's 256 folders more. Each takes about a kilobyte of memory. */
    public static final int BATCH = 200_000;

    /** A broker that gives nothing for so long has gone. */
    public static final Duration PATIENCE = Duration.ofMinutes(1);

    private final FileSystem files;
    private final int batch;
    private final Duration patience;
    private final Deque<FileStatus> days = new ArrayDeque<>();
    private final Deque<FileStatus> parts = new ArrayDeque<>();
    private final Map<String, List<FileStatus>> unreferenced = new HashMap<>();
    private long records;

    /**
     * Lists the days that are old enough, and no files yet.
     *
     * @param batch most files at a time, about
     * @param patience with a broker that gives nothing
     * @throws FileNotFoundException if there is no such directory
     */
    public ClaimCheckSweep(String directory, Instant olderThan, int batch, Duration patience) throws IOException {
        this.batch = batch;
        this.patience = patience;
        Path claims = new Path(directory);
        files = claims.getFileSystem();
        children(claims).stream()
                .filter(day -> endsBefore(day.getPath().getName(), olderThan))
                .sorted(Comparator.comparing(day -> day.getPath().getName()))
                .forEach(days::add);
    }

    /**
     * Lists the next files, the oldest first, in the place of those before.
     *
     * @return whether there may be more
     */
    public boolean list() throws IOException {
        unreferenced.clear();
        records = 0;
        for (int listed = 0; listed < batch && hasMore(); ) {
            if (parts.isEmpty()) {
                parts.addAll(children(days.remove().getPath()));
                continue;
            }
            for (FileStatus file : children(parts.remove().getPath())) {
                Matcher name = FILE.matcher(file.getPath().getName());
                if (!file.isDir() && name.matches()) {
                    unreferenced
                            .computeIfAbsent(name.group(1), unused -> new ArrayList<>(1))
                            .add(file);
                    listed++;
                }
            }
        }
        return hasMore();
    }

    private boolean hasMore() {
        return !days.isEmpty() || !parts.isEmpty();
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
     * @throws StartupException if the broker gives none for longer than patience lasts
     */
    public void keepReferenced(JobSettings settings, Set<String> topics, Consumer<String> progress) {
        try (KafkaConsumer<byte[], byte[]> consumer =
                RecordReader.consumer(settings, Map.of(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted"))) {
            keepReferenced(consumer, topics, progress);
        } catch (TimeoutException e) {
            throw away(topics, "no answer", e);
        }
    }

    void keepReferenced(
            org.apache.kafka.clients.consumer.Consumer<byte[], byte[]> consumer,
            Set<String> topics,
            Consumer<String> progress) {
        List<TopicPartition> partitions = topics.stream()
                .flatMap(topic -> consumer.partitionsFor(topic).stream())
                .map(info -> new TopicPartition(info.topic(), info.partition()))
                .toList();
        consumer.assign(partitions);
        Map<TopicPartition, Long> begin = consumer.beginningOffsets(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        long all = sum(ends.values()) - sum(begin.values());
        consumer.seekToBeginning(partitions);
        long position = -1;
        long movedAt = System.nanoTime();
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
            long now = partitions.stream().mapToLong(consumer::position).sum();
            if (now != position) {
                position = now;
                movedAt = System.nanoTime();
            } else if (System.nanoTime() - movedAt > patience.toNanos()) {
                throw away(topics, "%d of at most %d records read, and no further one".formatted(records, all), null);
            }
        }
    }

    private StartupException away(Set<String> topics, String found, @Nullable Exception cause) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "topics %s: %s for %d ms (expected: a broker that gives all that they hold; of this batch nothing is removed)"
                        .formatted(String.join(", ", topics), found, patience.toMillis()),
                cause);
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

    /** Records that were read for this batch. */
    public long records() {
        return records;
    }

    /** Files of the batch that no record refers to, as far as records were read. */
    public List<FileStatus> unreferenced() {
        return unreferenced.values().stream().flatMap(List::stream).toList();
    }
}
