package io.upliftstream.job;

import io.upliftstream.schemas.PayloadReference;
import io.upliftstream.schemas.Payloads;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Duration;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystem.WriteMode;
import org.apache.flink.core.fs.Path;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes large payloads to a directory, under their hashes, and leaves references in their records.
 *
 * <p>A payload is complete in its place before its record is handed on, so no record refers to nothing. A payload that is
 * there is left alone. Files are in a folder for each day: nobody writes to that of a day gone by, so whoever removes
 * what no record refers to is never in a race with a job.
 */
final class ClaimCheck implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ClaimCheck.class);

    /** Where a file appears when it is closed, in the place of its equal; elsewhere it may be seen as it is written. */
    private static final Set<String> SHOW_WHOLE = Set.of("s3", "s3a", "s3p", "gs", "oss");

    private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);

    /** Most payloads that are written at a time, and most frames that are encoded or wait for that. */
    static final int MAX_THREADS = 64;

    /** More than a day's folders. */
    private static final int MAX_DURABLE = 1000;

    /** The store did not take a payload in time: no frame's fault. */
    static final class Unavailable extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Unavailable(Path directory, Duration patience, @Nullable Exception last) {
            super(
                    "claim check: %s took no payload within %d ms (expected: a store that does; %s)"
                            .formatted(
                                    directory,
                                    patience.toMillis(),
                                    last == null ? "it does not answer" : "its last answer: " + last),
                    last);
        }
    }

    private final Path directory;
    private final long above;
    private final Duration patience;
    private final Clock clock;
    private final ThreadPoolExecutor encoders;
    /** Beside the encoders, each of which waits for one of them at most so long: a store may never come back. */
    private final ThreadPoolExecutor writers;

    private final AtomicLong written = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong retries = new AtomicLong();
    private final AtomicLong nanos = new AtomicLong();
    private volatile @Nullable Exception lastProblem;
    /** Folders of the local disk whose names it has for good. */
    private final Set<Path> durable = ConcurrentHashMap.newKeySet();

    /**
     * Writes nothing yet.
     *
     * @param above payloads of more bytes are written
     * @param patience with the store, for each payload from its turn on
     * @param working frames that may be at work at once: each may have a thread that waits for the store
     */
    ClaimCheck(String directory, long above, Duration patience, int working, Clock clock) {
        this.directory = new Path(directory);
        this.above = above;
        this.patience = patience;
        this.clock = clock;
        encoders = threads(working);
        writers = threads(working);
    }

    private static ThreadPoolExecutor threads(int working) {
        int most = Math.min(working, MAX_THREADS);
        ThreadPoolExecutor threads =
                new ThreadPoolExecutor(most, most, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
                    Thread thread = new Thread(task, "claim check");
                    thread.setDaemon(true);
                    return thread;
                });
        threads.allowCoreThreadTimeOut(true);
        return threads;
    }

    /**
     * Looks whether the directory can be written to, so that one that cannot is said before a job starts.
     *
     * @throws StartupException if it cannot
     */
    static void probe(String directory, Duration patience) {
        try (ClaimCheck check = new ClaimCheck(directory, 0, patience, 1, Clock.systemUTC())) {
            Path file = new Path(check.directory, ".probe-" + UUID.randomUUID());
            check.inTime(() -> {
                check.write(file, ByteBuffer.wrap(new byte[1]));
                return file.getFileSystem().delete(file, false);
            });
        } catch (IOException | Unavailable e) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "claim check: %s cannot be written to: %s (expected: a directory that can, and its file system among"
                                    .formatted(directory, e)
                            + " Flink's; docs/claim-check.md)",
                    e);
        }
    }

    /** Whether a payload of so many bytes goes to the directory. */
    boolean takes(byte @Nullable [] payload) {
        return payload != null && payload.length > above;
    }

    /**
     * Encodes where waiting for the store holds nobody up. How long that has to wait for its turn counts for nobody.
     *
     * @return ends with {@link Unavailable} where the store takes too long for a payload, even if it never answers
     */
    <T> CompletableFuture<T> run(Supplier<T> encoding) {
        return CompletableFuture.supplyAsync(encoding, encoders);
    }

    /**
     * Moves the large payloads of a record to the directory. For a thread of {@link #run}.
     *
     * @throws Unavailable if the store does not take one in time
     */
    void checkIn(SpecificRecord record) {
        try {
            Payloads.checkIn(record, above, payload -> inTime(() -> keep(payload)));
        } catch (IOException e) {
            throw new Unavailable(directory, patience, e);
        }
    }

    /** Waits for the store no longer than patience lasts. */
    private <T> T inTime(Callable<T> writing) throws IOException {
        FutureTask<T> task = new FutureTask<>(writing);
        writers.execute(task);
        try {
            return task.get(patience.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new Unavailable(directory, patience, lastProblem);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            throw e.getCause() instanceof IOException problem ? problem : new IOException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("the job ends", e);
        } finally {
            boolean unused = task.cancel(true) && writers.remove(task);
        }
    }

    /** Writes a payload, and tries again until patience ends. */
    private PayloadReference keep(ByteBuffer payload) throws IOException {
        long start = System.nanoTime();
        String sha256 = Payloads.sha256(payload);
        for (Duration pause = FIRST_PAUSE; ; pause = shorter(pause.multipliedBy(2), LONGEST_PAUSE)) {
            Path file =
                    new Path(directory, Payloads.name(LocalDate.ofInstant(clock.instant(), ZoneOffset.UTC), sha256));
            try {
                write(file, payload);
                written.incrementAndGet();
                bytes.addAndGet(payload.remaining());
                nanos.addAndGet(System.nanoTime() - start);
                return new PayloadReference(
                        file.makeQualified(file.getFileSystem()).toString(), (long) payload.remaining(), sha256);
            } catch (IOException | RuntimeException e) { // what a store's client throws, too
                lastProblem = e;
                retries.incrementAndGet();
                LOG.debug("{} was not written", file, e);
                if (System.nanoTime() - start + pause.toNanos() > patience.toNanos()) {
                    throw e instanceof IOException problem ? problem : new IOException(e);
                }
                sleep(pause);
            }
        }
    }

    private static Duration shorter(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }

    private static void sleep(Duration pause) throws IOException {
        try {
            Thread.sleep(pause.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("the job ends", e);
        }
    }

    private void write(Path file, ByteBuffer payload) throws IOException {
        FileSystem files = file.getFileSystem();
        String scheme = files.getUri().getScheme();
        if (SHOW_WHOLE.contains(scheme)) {
            try (FSDataOutputStream out = files.create(file, WriteMode.OVERWRITE)) {
                write(out, payload);
            }
            return;
        }
        boolean local = scheme.equals("file");
        if (!has(files, file, payload)) {
            writeBeside(files, local, file, payload);
        }
        if (local) {
            sync(file.getParent()); // also where the one who wrote it may have died before
        }
    }

    /** Whether a payload is there: it got its name when the store had all of it. */
    private static boolean has(FileSystem files, Path file, ByteBuffer payload) throws IOException {
        try {
            return files.getFileStatus(file).getLen() == payload.remaining();
        } catch (FileNotFoundException e) {
            return false;
        }
    }

    private static void writeBeside(FileSystem files, boolean local, Path file, ByteBuffer payload) throws IOException {
        Path part = new Path(file.getParent(), "." + file.getName() + "." + UUID.randomUUID());
        boolean moved = false;
        try {
            try (FSDataOutputStream out = files.create(part, WriteMode.NO_OVERWRITE)) {
                write(out, payload);
                out.sync(); // a record may be committed before the disk has it otherwise
            }
            if (local) { // Flink's own rename removes first what another thread may just have written
                Files.move(local(part), local(file), StandardCopyOption.ATOMIC_MOVE);
                moved = true;
            } else {
                moved = files.rename(part, file);
                if (!moved && !has(files, file, payload)) { // HDFS replaces nothing: what no job wrote is in the way
                    boolean unused = files.delete(file, false);
                    moved = files.rename(part, file);
                }
            }
            if (!moved && !has(files, file, payload)) {
                throw new IOException(part + " cannot be renamed");
            }
        } finally {
            if (!moved) {
                boolean unused = files.delete(part, false);
            }
        }
    }

    private static java.nio.file.Path local(Path path) {
        return java.nio.file.Path.of(path.getPath());
    }

    /** Makes the names in a folder outlast a loss of power, and its own name. */
    private void sync(Path folder) throws IOException {
        try (FileChannel names = FileChannel.open(local(folder), StandardOpenOption.READ)) {
            names.force(true);
        }
        Path parent = folder.getParent();
        if (folder.equals(directory) || parent == null || durable.contains(folder)) {
            return;
        }
        sync(parent);
        if (durable.size() >= MAX_DURABLE) {
            durable.clear();
        }
        durable.add(folder);
    }

    private static void write(FSDataOutputStream out, ByteBuffer payload) throws IOException {
        if (payload.hasArray()) {
            out.write(payload.array(), payload.arrayOffset() + payload.position(), payload.remaining());
        } else {
            byte[] copy = new byte[payload.remaining()];
            payload.duplicate().get(copy);
            out.write(copy);
        }
    }

    /** Payloads that were written. */
    long written() {
        return written.get();
    }

    /** Bytes of these. */
    long bytes() {
        return bytes.get();
    }

    /** Attempts to write that failed. */
    long retries() {
        return retries.get();
    }

    /** Time that writing took, retries and pauses included; of payloads at the same time each counts. */
    long millis() {
        return TimeUnit.NANOSECONDS.toMillis(nanos.get());
    }

    @Override
    public void close() {
        encoders.shutdownNow();
        writers.shutdownNow();
    }
}
