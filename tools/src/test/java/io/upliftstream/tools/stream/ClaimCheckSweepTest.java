package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;

class ClaimCheckSweepTest {
    private static final String HASH = "0123456789abcdef".repeat(4);

    /** In Avro a length comes before each text, and its bytes may be digits, too. */
    @Test
    void hashesAreFoundWhateverIsAroundThem() {
        assertThat(hashes("")).isEmpty();
        assertThat(hashes(HASH.substring(1))).isEmpty();
        assertThat(hashes(HASH)).containsExactly(HASH);
        assertThat(hashes("\u0000/" + HASH + "\u0080\u0001" + HASH + "é")).containsExactly(HASH, HASH);
        assertThat(hashes("ab" + HASH + "0")).contains(HASH);
        assertThat(hashes(HASH.toUpperCase(Locale.ROOT))).isEmpty();
    }

    private static List<String> hashes(String value) {
        List<String> found = new ArrayList<>();
        ClaimCheckSweep.hashes(value.getBytes(StandardCharsets.ISO_8859_1), found::add);
        return found;
    }
}
