package io.upliftstream.tools.stream;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class StatusLineTest {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    /** What is there once a status was shown. */
    private String shown(int columns, String status) {
        StatusLine line = new StatusLine(new PrintStream(bytes, true, StandardCharsets.UTF_8), columns);
        while (bytes.size() == 0) {
            line.update(() -> status);
        }
        line.say("done");
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void aStatusIsRewrittenInPlace() {
        assertThat(shown(10, "12 frames")).isEqualTo("\r12 frames\r         \rdone" + System.lineSeparator());
    }

    @Test
    void aStatusNeverWraps() {
        assertThat(shown(10, "1234 frames, 5.6/s")).isEqualTo("\r1234 fra…\r         \rdone" + System.lineSeparator());
    }
}
