package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.description.HtmlFormatter;
import org.apache.flink.util.TimeUtils;
import org.junit.jupiter.api.Test;

/** The reference in docs/ is generated from the options: {@code mvn test -Dtest=OptionsReferenceTest -Dupdate-docs}. */
class OptionsReferenceTest {
    private static final Path REFERENCE = Path.of("..", "docs", "options.md");

    @Test
    void theReferenceIsUpToDate() throws IOException {
        StringBuilder reference = new StringBuilder(
                """
                # Options of the job

                Generated from `InputOptions`, `ServingOptions`, `OutputOptions`, `ControlOptions` and `RegistryOptions`;
                `mvn test -Dtest=OptionsReferenceTest -Dupdate-docs` in `flink-job` writes it anew.

                Sources, the later winning: a file (`--config`; YAML, nested or flat, or `.properties`), the environment, assignments
                `key=value`. In the environment, `uplift.kafka.bootstrap-servers` is `UPLIFT_KAFKA_BOOTSTRAP_SERVERS`. What follows
                `uplift.kafka.properties.` goes to every Kafka client as it is (`uplift.kafka.properties.security.protocol: SASL_SSL`).
                Keys that do not start with `uplift.` are Flink's own and go to Flink; the few that the job sets itself are
                refused, and the option to use instead is named. An unknown key or an impossible value ends the start with one
                sentence and exit code 2.

                | option | values | default | meaning |
                |---|---|---|---|
                """);
        for (ConfigOption<?> option : JobSettings.OPTIONS) {
            reference.append("| `%s` | %s | %s | %s |%n"
                    .formatted(
                            option.key(),
                            JobSettings.expected(option),
                            option.hasDefaultValue() ? "`" + text(option.defaultValue()) + "`" : "",
                            new HtmlFormatter().format(option.description())));
        }
        if (System.getProperty("update-docs") != null) {
            Files.writeString(REFERENCE, reference);
        }
        assertThat(Files.readString(REFERENCE)).isEqualTo(reference.toString());
    }

    private static String text(Object value) {
        if (value instanceof Duration duration) {
            return TimeUtils.formatWithHighestUnit(duration);
        }
        return value.toString().toLowerCase(Locale.ROOT);
    }
}
