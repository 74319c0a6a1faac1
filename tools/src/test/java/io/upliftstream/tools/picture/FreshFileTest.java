package io.upliftstream.tools.picture;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FreshFileTest {
    @TempDir
    private Path directory = Path.of(".");

    @Test
    void aLinkIsReplacedAndWhatItLeadsToIsLeftAlone() throws IOException {
        Path elsewhere = Files.writeString(directory.resolve("elsewhere"), "mine");
        Path file = Files.createSymbolicLink(directory.resolve("file"), elsewhere);
        for (int i = 0; i < 2; i++) {
            FreshFile.write(file, new byte[] {'a'});
        }
        assertThat(elsewhere).hasContent("mine");
        assertThat(file).isRegularFile().hasContent("a");
        assertThat(Files.isSymbolicLink(file)).isFalse();
        assertThat(directory.toFile().list()).containsExactlyInAnyOrder("elsewhere", "file");
    }

    @Test
    void aLinkInPlaceOfADirectoryIsRefused() throws IOException {
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        Files.createSymbolicLink(directory.resolve("overlays"), elsewhere);
        assertThatThrownBy(() -> FreshFile.directory(directory, "overlays"))
                .isInstanceOf(IOException.class)
                .hasMessageEndingWith("overlays: a link (expected: a directory)");
        assertThat(FreshFile.directory(directory, "new")).isDirectory();
        assertThat(FreshFile.directory(directory, "new")).isDirectory();
    }
}
