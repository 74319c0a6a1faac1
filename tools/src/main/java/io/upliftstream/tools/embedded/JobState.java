package io.upliftstream.tools.embedded;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.KafkaTopics;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.job.StateDirectory;
import io.upliftstream.tools.stream.FileNames;
import java.io.DataInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.apache.flink.api.common.JobID;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What outlives a run of a job, so that the next one goes on where it ended: a directory with its checkpoints and the
 * savepoint of its stop, and locks, so that no two runs of one user on one machine have the same names. The operating
 * system frees the locks of a process that dies.
 *
 * <p>A job is known by its consumer group and by its input topic, as Kafka's own ids tell it from others of that name: a
 * topic that was made again, or another broker at the same address, has no old state.
 */
public final class JobState implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(JobState.class);
    private static final String METADATA = "_metadata";
    private static final String SAVEPOINT = "savepoint";
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss", Locale.ROOT).withZone(ZoneId.systemDefault());

    private final Path directory;
    private final List<FileChannel> locks = new ArrayList<>();

    /**
     * A state that is complete.
     *
     * @param path of a checkpoint or savepoint, as Flink takes it
     * @param checkpoint its number, which is higher than that of every state before it
     */
    public record Saved(String path, long checkpoint, Instant completed) {
        /** Such as {@code checkpoint of 2026-11-28 12:00:00}. */
        @Override
        public String toString() {
            return "%s of %s"
                    .formatted(
                            new Path(path).getName().startsWith(SAVEPOINT) ? SAVEPOINT : "checkpoint",
                            TIME.format(completed));
        }
    }

    /** Without locks. */
    JobState(Path directory) {
        this.directory = directory;
    }

    /**
     * Takes a job's locks.
     *
     * @throws StartupException if another process has them, if the directory cannot be used, or if Kafka does not answer
     */
    public static JobState lock(JobSettings settings) throws IOException {
        String group = settings.get(InputOptions.GROUP_ID);
        String topic = settings.get(InputOptions.INPUT_TOPIC);
        String prefix = settings.get(ServingOptions.TRANSACTIONAL_ID_PREFIX);
        String cluster;
        String name;
        try (KafkaTopics topics = new KafkaTopics(settings, "")) {
            cluster = topics.clusterId();
            // Only the group may have a slash in it.
            name = FileNames.of(String.join("/", topic, topics.topicId(topic), cluster, group));
        }
        JobState state = new JobState(new Path(
                settings.checkpointDirectory()
                        .orElseGet(
                                () -> StateDirectory.of("checkpoints").toUri().toString()),
                name));
        try {
            state.lock(name, "group %s reads topic %s".formatted(group, topic));
            if (settings.delivery() == DeliveryGuarantee.EXACTLY_ONCE) {
                state.lock(
                        FileNames.of(String.join("/", "transactions", cluster, prefix)),
                        "transactions are called %s…".formatted(prefix));
            }
            return state;
        } catch (StartupException | IOException e) {
            state.close();
            throw e;
        }
    }

    /** @param what the lock stands for, as a clause that "already" can follow */
    private void lock(String file, String what) throws IOException {
        FileChannel channel = FileChannel.open(
                StateDirectory.of("locks").resolve(file),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        locks.add(channel);
        boolean ours;
        try {
            ours = channel.tryLock() != null;
        } catch (OverlappingFileLockException e) { // another run of this process
            ours = false;
        }
        if (!ours) {
            ByteBuffer owner = ByteBuffer.allocate(32);
            while (channel.read(owner) > 0) {}
            throw taken(what, "process " + StandardCharsets.UTF_8.decode(owner.flip()) + " of this machine");
        }
        channel.truncate(0);
        ByteBuffer pid = StandardCharsets.UTF_8.encode(
                Long.toString(ProcessHandle.current().pid()));
        while (pid.hasRemaining()) {
            channel.write(pid);
        }
    }

    /**
     * Refuses a second run on the same names.
     *
     * @param what is taken, as a clause that "already" can follow
     * @param owner where the other run is
     */
    public static StartupException taken(String what, String owner) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "%s already, in %s (expected: one run with these names; for more frames, a larger %s or a Flink cluster; to"
                                .formatted(what, owner, ServingOptions.PARALLELISM.key())
                        + " run beside it, another %s and another %s)"
                                .formatted(InputOptions.GROUP_ID.key(), ServingOptions.TRANSACTIONAL_ID_PREFIX.key()));
    }

    /** Where the savepoint of a stop goes. */
    public String directory() {
        return directory.toString();
    }

    /** Has a job keep its checkpoints here, and start from a state. */
    public Configuration configuration(Optional<Saved> from) {
        Configuration flink = new Configuration();
        flink.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, directory.toString());
        flink.set(CheckpointingOptions.CREATE_CHECKPOINT_SUB_DIR, true); // by which former runs are told apart
        from.ifPresent(saved -> flink.set(StateRecoveryOptions.SAVEPOINT_PATH, saved.path()));
        return flink;
    }

    /**
     * The newest state of this job, whichever run it is of.
     *
     * @throws StartupException if a state is damaged
     */
    public Optional<Saved> newest() throws IOException {
        List<Saved> found = new ArrayList<>();
        for (FileStatus child : list(directory)) { // a savepoint, or the checkpoints of a run
            saved(child.getPath()).ifPresent(found::add);
            for (FileStatus checkpoint : child.isDir() ? list(child.getPath()) : new FileStatus[0]) {
                saved(checkpoint.getPath()).ifPresent(found::add);
            }
        }
        return found.stream().max(Comparator.comparing(Saved::checkpoint));
    }

    /** The state in a directory, unless there is none or Flink removes it just now. */
    private Optional<Saved> saved(Path state) throws IOException {
        FileSystem files = state.getFileSystem();
        Path metadata = new Path(state, METADATA);
        if (!files.exists(metadata)) {
            return Optional.empty();
        }
        try (DataInputStream in = new DataInputStream(files.open(metadata))) {
            long checkpoint = Checkpoints.loadCheckpointMetadata(in, JobState.class.getClassLoader(), state.toString())
                    .getCheckpointId();
            long completed = files.getFileStatus(metadata).getModificationTime();
            return Optional.of(new Saved(state.toString(), checkpoint, Instant.ofEpochMilli(completed)));
        } catch (FileNotFoundException e) {
            return Optional.empty();
        } catch (IOException | RuntimeException e) {
            if (!files.exists(metadata)) {
                return Optional.empty();
            }
            throw unusable(state.toString(), e);
        }
    }

    /** Says that a state cannot be gone on from. */
    public static StartupException unusable(String path, Exception cause) {
        return new StartupException(
                StartupException.ENVIRONMENT,
                "state %s: %s (expected: an undamaged state of this job; --fresh starts without it)"
                        .formatted(path, cause.getMessage() == null ? cause : cause.getMessage()),
                cause);
    }

    /**
     * Removes what former runs left, if there is something newer. What a run that goes on has is left to Flink.
     *
     * @param running null if no run goes on
     * @return whether there is no more to be done
     */
    public boolean prune(@Nullable JobID running) {
        try {
            return tryPrune(running);
        } catch (IOException | RuntimeException e) { // no reason to end a job
            LOG.warn("what former runs left in {} is not removed", directory, e);
            return true;
        }
    }

    private boolean tryPrune(@Nullable JobID running) throws IOException {
        Optional<Saved> newest = newest();
        String run = String.valueOf(running);
        if (newest.isEmpty()
                || (running != null
                        && !new Path(newest.get().path()).getParent().getName().equals(run))) {
            return false;
        }
        for (FileStatus child : list(directory)) {
            Path path = child.getPath();
            if (!path.getName().equals(run) && !(newest.get().path() + "/").startsWith(path.toString() + "/")) {
                path.getFileSystem().delete(path, true);
            }
        }
        return true;
    }

    /** Removes every state of this job. */
    public void clear() throws IOException {
        directory.getFileSystem().delete(directory, true);
    }

    private static FileStatus[] list(Path path) throws IOException {
        FileSystem files = path.getFileSystem();
        FileStatus[] found = files.exists(path) ? files.listStatus(path) : null;
        return found == null ? new FileStatus[0] : found;
    }

    /** Gives the locks back. */
    @Override
    public void close() throws IOException {
        for (FileChannel lock : locks) {
            lock.close();
        }
    }
}
