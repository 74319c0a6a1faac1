package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.assertj.core.api.AbstractThrowableAssert;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StateDirectoryTest {
    private static final int NOBODY = 65534;

    @TempDir
    private Path home = Path.of(".");

    @Test
    void itIsWhereXdgSaysAndForItsUserAlone() throws IOException {
        assertThat(StateDirectory.home(Map.of("HOME", "/home/a"))).hasToString("/home/a/.local/state/uplift-stream");
        assertThat(StateDirectory.home(Map.of("HOME", "/home/a", "XDG_STATE_HOME", "/state")))
                .hasToString("/state/uplift-stream");
        assertThat(StateDirectory.home(Map.of("HOME", "/home/a", "XDG_STATE_HOME", "relative")))
                .hasToString("/home/a/.local/state/uplift-stream");
        assertThatThrownBy(() -> StateDirectory.home(Map.of()))
                .isInstanceOf(StartupException.class)
                .hasMessageContaining("no HOME");
        Path created = StateDirectory.own(home.resolve("a").resolve("b"));
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(created)))
                .isEqualTo("rwx------");
        assertThat(StateDirectory.own(created)).isEqualTo(created);
    }

    @Test
    void aLinkIsRefused() throws IOException {
        Path link = Files.createSymbolicLink(home.resolve("link"), Files.createDirectory(home.resolve("target")));
        assertRefused(link).hasMessage("state directory " + link + ": a link (expected: a directory)");
    }

    @Test
    void aDirectoryThatOthersMayWriteToIsRefused() throws IOException {
        Path open = Files.createDirectory(home.resolve("open"));
        Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertRefused(open).hasMessageContaining("rwxrwxrwx, others may write to it (expected: rwx------)");
    }

    @Test
    void anotherUsersDirectoryIsRefused() throws IOException {
        Path foreign = Files.createDirectory(home.resolve("foreign"));
        assumeTrue(Files.getAttribute(foreign, "unix:uid").equals(0), "only root can give a directory to another user");
        Files.setAttribute(foreign, "unix:uid", NOBODY);
        assertRefused(foreign).hasMessageContaining("it belongs to user 65534 (expected: to this user, 0)");
    }

    @Test
    void aFileInItsPlaceIsOneSentence() throws IOException {
        Path file = Files.createFile(home.resolve("file"));
        assertRefused(file).hasMessageContaining("not a directory");
        assertRefused(file.resolve("below")).hasMessageContaining("expected: a directory that can be created");
    }

    private static AbstractThrowableAssert<?, ?> assertRefused(Path directory) {
        return assertThatThrownBy(() -> StateDirectory.own(directory))
                .isInstanceOfSatisfying(StartupException.class, refusal -> assertThat(refusal.exitCode())
                        .isEqualTo(StartupException.ENVIRONMENT));
    }
}
