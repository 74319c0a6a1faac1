package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuarantineTest {
    private static final RawFrame FRAME = TestFrames.cameraFrame("east", 7);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void aFrameAtWhichTwoProcessesDiedIsHeld() {
        for (int process = 0; process < 2; process++) {
            Quarantine dying = quarantine();
            dying.arrived(FRAME);
            dying.begin(FRAME);
        }
        Quarantine survivor = quarantine();
        survivor.arrived(FRAME);
        assertThat(survivor.holds(FRAME)).isFalse(); // it was not tried alone in the first of them

        survivor.begin(FRAME);
        Quarantine next = quarantine();
        next.arrived(FRAME);
        assertThat(next.holds(FRAME)).isTrue();
    }

    @Test
    void aFrameThatIsDoneIsInnocentHoweverOftenAJobStartsAtIt() {
        for (int job = 0; job < 5; job++) {
            Quarantine quarantine = quarantine();
            quarantine.arrived(FRAME);
            assertThat(quarantine.holds(FRAME)).isFalse();
            quarantine.begin(FRAME);
            quarantine.checkpointed();
            quarantine.end(FRAME);
        }
    }

    @Test
    void theJobGoesOnWhileNotesCannotBeWrittenAndNotesAreKeptAgainWhenTheyCan() throws Exception {
        Files.writeString(directory.resolve("job"), "in the way of the directory of notes");
        Quarantine quarantine = quarantine();

        quarantine.arrived(FRAME);
        quarantine.begin(FRAME);
        quarantine.end(FRAME);

        assertThat(quarantine.holds(FRAME)).isFalse();
        Files.delete(directory.resolve("job"));
        quarantine().arrived(FRAME);
        assertThat(directory.resolve("job").resolve(FRAME.topic() + "-" + FRAME.partition()))
                .exists();
    }

    @Test
    void theJobGoesOnWithoutADirectoryUntilThereIsOne() {
        AtomicBoolean full = new AtomicBoolean(true);
        Quarantine quarantine = new Quarantine(
                () -> {
                    if (full.get()) {
                        throw new StartupException(StartupException.ENVIRONMENT, "state directory: its disk is full");
                    }
                    return directory.toUri().toString();
                },
                "job",
                1);
        quarantine.arrived(FRAME);
        assertThat(directory).isEmptyDirectory();

        full.set(false);
        quarantine.arrived(new RawFrame(FRAME.topic(), 4, 0, 0, null, null, TraceContext.NONE));

        assertThat(directory.resolve("job").resolve(FRAME.topic() + "-4")).exists();
    }

    @Test
    void aHeldFrameStaysHeldWhenALaterNoteCannotBeWritten() throws Exception {
        Path full = Path.of("/dev/full");
        assumeTrue(Files.exists(full), "no file here that behaves as on a full disk");
        for (int process = 0; process < 4; process++) {
            Quarantine dying = quarantine();
            dying.arrived(FRAME);
            dying.begin(FRAME);
        }
        Path next = Files.createSymbolicLink(
                directory.resolve("job").resolve(FRAME.topic() + "-" + FRAME.partition() + ".next"), full);

        for (int process = 0; process < 2; process++) {
            Quarantine survivor = quarantine();
            survivor.arrived(FRAME);
            assertThat(survivor.holds(FRAME)).isTrue();
        }
        assertThat(next).isSymbolicLink();
    }

    /** Careful from the second start on. */
    private Quarantine quarantine() {
        return new Quarantine(() -> directory.toUri().toString(), "job", 1);
    }
}
