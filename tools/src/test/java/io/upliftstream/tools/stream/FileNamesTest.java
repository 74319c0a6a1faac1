package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;

class FileNamesTest {
    @Test
    void aShortPlainNameIsItsOwn() {
        for (String name : List.of("gate", "street.mp4", "10.0.0.7", "cam-1_b", "partition-0")) {
            assertThat(FileNames.of(name)).isEqualTo(name);
        }
    }

    @Test
    void noTwoNamesHaveOneFile() {
        String hashed = FileNames.of("lobby/1");
        List<String> names = List.of(
                "lobby/1",
                "lobby 1",
                "lobby_1",
                "東口",
                "西口",
                "Gate",
                "GATE",
                "gate",
                "a".repeat(5000),
                "a".repeat(5001),
                "",
                "_",
                ".",
                "..",
                "../x",
                "-rf",
                "\ud800",
                "\ud801",
                "?",
                "a\0",
                "a\n",
                hashed);
        List<String> files = names.stream().map(FileNames::of).toList();
        assertThat(files.stream().map(file -> file.toLowerCase(Locale.ROOT))).doesNotHaveDuplicates();
        assertThat(files)
                .allSatisfy(file -> assertThat(file).matches("[A-Za-z0-9_][A-Za-z0-9._-]{0,63}(~[0-9a-f]{16})?"));
        assertThat(hashed).matches("lobby_1~[0-9a-f]{16}");
    }

    /** Else a camera's frame of one head had the name of another camera's frame of another head. */
    @Test
    void whatIsBetweenDotsHasNone() {
        assertThat(FileNames.withoutDots("segmentation")).isEqualTo("segmentation");
        assertThat(FileNames.withoutDots("b_000002.c")).matches("b_000002_c~[0-9a-f]{16}");
        assertThat(FileNames.withoutDots("Ä.c")).matches("__c~[0-9a-f]{16}");
    }
}
