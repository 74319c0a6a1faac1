package io.upliftstream.job;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Reader;
import java.io.Writer;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystem.WriteMode;
import org.apache.flink.core.fs.Path;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds the frame that crashes the process natively, which would otherwise come back with every restart.
 *
 * <p>A note for every partition, in a directory that outlives the process, counts the starts at the same offset. After
 * some of them frames are worked on one at a time, each named in the note before, until a checkpoint is complete. A frame
 * that was being worked on alone in two processes that died is held back from then on.
 *
 * <p>Limits: subtasks in one process work at the same time, so a frame of another subtask may be held back with the guilty
 * one; and so may one at which a process was killed from outside twice. While notes cannot be read or written, as on a full
 * disk or without a directory, the job goes on without them.
 */
final class Quarantine {
    private static final Logger LOG = LoggerFactory.getLogger(Quarantine.class);
    private static final long NONE = -1;

    /** Processes that must have died while they worked on a frame alone: one may have been killed from outside. */
    private static final int DEATHS = 2;

    private final Supplier<String> parent;
    private final String job;
    private final int restarts;
    /** Null until it was had. */
    private @Nullable Path directory;

    private final Map<Integer, Note> notes = new HashMap<>();
    private boolean careful;
    private boolean unwritable;
    /** Until the file system refuses to put one file in another's place, as those of object stores do. */
    private boolean replaces = true;

    /** What is known of a partition since it was first read from {@code offset} on. */
    private static final class Note {
        private long offset;
        private long timestampMillis;
        private int starts;
        private long trying = NONE;
        private long suspect = NONE;
        private int deaths;
        private Set<Long> held = new TreeSet<>();
    }

    /**
     * Reads nothing yet.
     *
     * @param parent directory that every process which may run the subtask reaches; asked for until it says one, and may throw
     *     {@link StartupException} where there is none
     * @param job a name that no other job with this directory has
     * @param restarts at the same offset after which frames are worked on one at a time; 0 for never
     */
    Quarantine(Supplier<String> parent, String job, int restarts) {
        this.parent = parent;
        this.job = job;
        this.restarts = restarts;
    }

    /** Takes note of a frame's partition when its first frame comes. */
    void arrived(RawFrame frame) {
        if (restarts == 0 || notes.containsKey(frame.partition())) {
            return;
        }
        Note note = read(frame)
                .filter(before -> before.offset == frame.offset() && before.timestampMillis == frame.timestampMillis())
                .orElseGet(Note::new);
        note.offset = frame.offset();
        note.timestampMillis = frame.timestampMillis();
        note.starts++;
        if (note.trying != NONE) {
            note.deaths = note.trying == note.suspect ? note.deaths + 1 : 1;
            note.suspect = note.trying;
            note.trying = NONE;
            if (note.deaths >= DEATHS) {
                LOG.error(
                        "{} partition {}: the process ended {} times while the frame at offset {} alone was worked on; it"
                                + " is held back",
                        frame.topic(),
                        frame.partition(),
                        note.deaths,
                        note.suspect);
                note.held.add(note.suspect);
            }
        }
        notes.put(frame.partition(), note);
        write(frame, note);
        if (note.starts > restarts) {
            LOG.warn(
                    "{} partition {}: start {} at offset {}; frames are worked on one at a time until the next checkpoint",
                    frame.topic(),
                    frame.partition(),
                    note.starts,
                    note.offset);
            careful = true;
        }
    }

    /** Whether frames are to be worked on one at a time. */
    boolean careful() {
        return careful;
    }

    /** Whether a frame is held back. */
    boolean holds(RawFrame frame) {
        Note note = notes.get(frame.partition());
        return note != null && note.held.contains(frame.offset());
    }

    /** Notes that work on a frame begins. */
    void begin(RawFrame frame) {
        if (careful) {
            note(frame, frame.offset());
        }
    }

    /** Notes that work on a frame has ended, in whatever way; it has not where the process died. */
    void end(RawFrame frame) {
        Note note = notes.get(frame.partition());
        // A checkpoint may have completed since the frame began, and the note names it still.
        if (note != null && note.trying == frame.offset()) {
            note(frame, NONE);
        }
    }

    private void note(RawFrame frame, long trying) {
        Note note = notes.get(frame.partition());
        if (note != null) {
            note.trying = trying;
            write(frame, note);
        }
    }

    /** A checkpoint is complete: a restart would begin behind the frame that made this one careful. */
    void checkpointed() {
        careful = false;
    }

    private Path directory() throws IOException {
        if (directory == null) {
            try {
                directory = new Path(new Path(parent.get()), URLEncoder.encode(job, StandardCharsets.UTF_8));
            } catch (StartupException e) {
                throw new IOException(e.getMessage(), e);
            }
        }
        return directory;
    }

    private Path path(RawFrame frame) throws IOException {
        return new Path(directory(), frame.topic() + "-" + frame.partition());
    }

    private Optional<Note> read(RawFrame frame) {
        Path path;
        try {
            path = path(frame);
        } catch (IOException e) {
            warn(e);
            return Optional.empty();
        }
        try (FSDataInputStream in = path.getFileSystem().open(path);
                Reader reader = new InputStreamReader(in, StandardCharsets.UTF_8)) {
            Properties properties = new Properties();
            properties.load(reader);
            Note note = new Note();
            note.offset = Long.parseLong(properties.getProperty("offset", ""));
            note.timestampMillis = Long.parseLong(properties.getProperty("timestampMillis", ""));
            note.starts = Integer.parseInt(properties.getProperty("starts", ""));
            note.trying = Long.parseLong(properties.getProperty("trying", ""));
            note.suspect = Long.parseLong(properties.getProperty("suspect", ""));
            note.deaths = Integer.parseInt(properties.getProperty("deaths", ""));
            Pattern.compile(" ")
                    .splitAsStream(properties.getProperty("held", ""))
                    .filter(offset -> !offset.isEmpty())
                    .map(Long::valueOf)
                    .forEach(note.held::add);
            return Optional.of(note);
        } catch (FileNotFoundException e) {
            return Optional.empty();
        } catch (NumberFormatException e) { // the process died while it wrote
            LOG.warn("{} is damaged and is begun anew", path, e);
            return Optional.empty();
        } catch (IOException e) {
            warn(e);
            return Optional.empty();
        }
    }

    /** Once, until notes can be written again. */
    private void warn(IOException e) {
        if (!unwritable) {
            unwritable = true;
            LOG.warn(
                    "the quarantine's notes in {} cannot be kept: {} (expected: a directory to write to); a frame that"
                            + " crashes the process is not recognised until they can",
                    directory == null ? "the state directory" : directory,
                    e.toString());
        }
    }

    private void write(RawFrame frame, Note note) {
        Properties properties = new Properties();
        properties.setProperty("offset", String.valueOf(note.offset));
        properties.setProperty("timestampMillis", String.valueOf(note.timestampMillis));
        properties.setProperty("starts", String.valueOf(note.starts));
        properties.setProperty("trying", String.valueOf(note.trying));
        properties.setProperty("suspect", String.valueOf(note.suspect));
        properties.setProperty("deaths", String.valueOf(note.deaths));
        properties.setProperty("held", note.held.stream().map(String::valueOf).collect(Collectors.joining(" ")));
        try {
            Path path = path(frame);
            FileSystem files = path.getFileSystem();
            files.mkdirs(directory());
            if (!replaces || !replace(files, path, properties)) {
                store(files, path, properties);
                replaces = false;
            }
            unwritable = false;
        } catch (IOException e) {
            warn(e);
        }
    }

    /** The note before stays where the next one cannot be written; false if the file system does not do that. */
    private static boolean replace(FileSystem files, Path path, Properties properties) throws IOException {
        Path next = path.suffix(".next");
        store(files, next, properties);
        try {
            if (files.rename(next, path)) {
                return true;
            }
        } catch (IOException e) {
            LOG.debug("{} cannot take the place of {}", next, path, e);
        }
        files.delete(next, false);
        return false;
    }

    private static void store(FileSystem files, Path path, Properties properties) throws IOException {
        try (Writer writer = new OutputStreamWriter(files.create(path, WriteMode.OVERWRITE), StandardCharsets.UTF_8)) {
            properties.store(writer, null);
        }
    }
}
