package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuarantineTest {
    private static final int RESTARTS = 1;

    @TempDir
    private Path directory;

    private final RawFrame frame = TestFrames.cameraFrame("north", 0);

    private Quarantine start() throws IOException {
        Quarantine quarantine = new Quarantine(directory.toUri().toString(), "job", RESTARTS);
        quarantine.arrived(frame);
        return quarantine;
    }

    @Test
    void aFrameAtWhichTwoProcessesDiedIsHeldBack() throws IOException {
        start();
        for (int death = 0; death < 2; death++) {
            Quarantine careful = start();
            assertThat(careful.careful()).isTrue();
            assertThat(careful.holds(frame)).isFalse();
            careful.begin(frame);
        }
        assertThat(start().holds(frame)).isTrue();
    }

    @Test
    void aFrameThatIsDoneIsInnocentHoweverOftenAJobStartsAtIt() throws IOException {
        for (int job = 0; job < 5; job++) {
            Quarantine quarantine = start();
            assertThat(quarantine.holds(frame)).isFalse();
            quarantine.begin(frame);
            quarantine.checkpointed();
            quarantine.end(frame);
        }
    }
}
