package io.upliftstream.tools.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.apache.logging.log4j.Logger;
import org.apache.logging.log4j.core.LoggerContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The log as {@code log4j2.xml} says it is written. */
class LogFileTest {
    @TempDir
    private Path directory = Path.of(".");

    private interface Writing {
        void to(Logger logger);
    }

    private List<String> log(Writing writing) throws Exception {
        Path file = directory.resolve("uplift.log");
        System.setProperty("uplift.log", file.toString());
        URI configuration =
                requireNonNull(LogFileTest.class.getResource("/log4j2.xml")).toURI();
        try (LoggerContext context = new LoggerContext("log", null, configuration)) {
            context.start();
            writing.to(context.getLogger("camera"));
        } finally {
            System.clearProperty("uplift.log");
        }
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo("rw-------");
        return Files.readAllLines(file);
    }

    @Test
    void aMessageIsOneLineOfText() throws Exception {
        List<String> lines = log(logger -> {
            logger.warn("camera {}", "a\n2026-01-01 ERROR forged\u001b[2J\u009b\u0000\r");
            logger.warn("failed", new IOException("b\n2026-01-01 ERROR forged\u001b[2J"));
            logger.warn("c".repeat(100_000));
        });
        assertThat(lines.get(0)).endsWith("camera a\\n2026-01-01 ERROR forged?[2J??\\r");
        assertThat(lines.get(1)).endsWith("failed");
        assertThat(lines.get(2)).isEqualTo("  | java.io.IOException: b");
        assertThat(lines.get(3)).isEqualTo("  | 2026-01-01 ERROR forged?[2J");
        assertThat(lines.get(4)).startsWith("  | \tat " + LogFileTest.class.getName());
        assertThat(lines).filteredOn(line -> !line.startsWith("  | ")).hasSize(3);
        assertThat(lines.get(lines.size() - 1)).hasSizeLessThan(8200).endsWith("c...");
    }

    @Test
    void ofManyMessagesInAShortTimeMostAreLeftOutButNoError() throws IOException, Exception {
        List<String> lines = log(logger -> {
            for (int i = 0; i < 3000; i++) {
                logger.warn("camera {} is ahead", i);
            }
            logger.error("the end");
        });
        assertThat(lines).hasSizeBetween(100, 300);
        assertThat(lines.get(lines.size() - 1)).endsWith("the end");
    }
}
