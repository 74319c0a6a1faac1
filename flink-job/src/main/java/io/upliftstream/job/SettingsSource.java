package io.upliftstream.job;

import java.io.BufferedReader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.YamlParserUtils;
import org.jspecify.annotations.Nullable;

/** Where settings are read from: a file, the environment and assignments, as keys and values that are not checked yet. */
final class SettingsSource {
    private static final Pattern PLACE = Pattern.compile("line (\\d+), column (\\d+)");

    /** Options of Flink's that {@link DenseVisionJob} sets itself, and what is expected instead. */
    private static final Map<String, String> SET_BY_THE_JOB = Map.of(
            CoreOptions.DEFAULT_PARALLELISM.key(),
            ServingOptions.PARALLELISM.key(),
            CheckpointingOptions.CHECKPOINTING_INTERVAL.key(),
            ServingOptions.CHECKPOINT_INTERVAL.key(),
            CheckpointingOptions.CHECKPOINTING_CONSISTENCY_MODE.key(),
            ServingOptions.DELIVERY.key(),
            CheckpointingOptions.CHECKPOINT_STORAGE.key(),
            ServingOptions.CHECKPOINT_DIRECTORY.key(),
            PipelineOptions.GENERIC_TYPES.key(),
            "nothing");

    private SettingsSource() {}

    /**
     * Keys and values of all sources, the later winning.
     *
     * @param file YAML, or properties if its name ends so; null for none
     * @param assignments {@code key=value}
     * @throws StartupException if the file cannot be read or an assignment is none
     */
    static Map<String, String> read(
            @Nullable Path file, Map<String, String> environment, Collection<String> assignments) {
        Map<String, String> values = new LinkedHashMap<>();
        if (file != null) {
            values.putAll(read(file));
        }
        values.putAll(fromEnvironment(environment));
        for (String assignment : assignments) {
            int equals = assignment.indexOf('=');
            if (equals < 1) {
                throw JobSettings.wrong("argument", assignment, "key=value");
            }
            values.put(
                    assignment.substring(0, equals).strip(),
                    assignment.substring(equals + 1).strip());
        }
        return values;
    }

    private static Map<String, String> read(Path file) {
        Map<String, String> values = new LinkedHashMap<>();
        if (!Files.isRegularFile(file)) {
            throw JobSettings.wrong(
                    "configuration file", file.toAbsolutePath().normalize().toString(), "a file that exists");
        }
        try {
            if (file.toString().endsWith(".properties")) {
                Properties properties = new Properties();
                try (BufferedReader reader = Files.newBufferedReader(file)) {
                    properties.load(reader);
                }
                properties.forEach((key, value) -> values.put(key.toString(), value.toString()));
            } else {
                flatten("", YamlParserUtils.loadYamlFile(file.toFile()), values);
            }
        } catch (Exception e) { // the YAML parser's exceptions are shaded
            throw new StartupException(
                    StartupException.CONFIGURATION,
                    "configuration file: %s cannot be read (%s; expected: YAML, or properties if it is named so)"
                            .formatted(file.toAbsolutePath().normalize(), problem(e)),
                    e);
        }
        return values;
    }

    /** What is wrong, and where: a parser says what it was about and where that began, then these two, a line for each. */
    private static String problem(Exception e) {
        String message = String.valueOf(e.getMessage());
        if (e instanceof CharacterCodingException || message.contains("MalformedInputException")) {
            return "it is not text in UTF-8";
        }
        String what = message.lines()
                .filter(line -> !line.startsWith(" ") && !line.startsWith("in "))
                .reduce("", (before, last) -> last)
                .strip();
        return PLACE.matcher(message)
                .results()
                .reduce((before, last) -> last)
                .map(place -> "line %s, column %s: %s".formatted(place.group(1), place.group(2), what))
                .orElse(what);
    }

    private static void flatten(String prefix, Map<?, ?> nested, Map<String, String> values) {
        nested.forEach((key, value) -> {
            if (value instanceof Map<?, ?> inner) {
                flatten(prefix + key + ".", inner, values);
            } else {
                values.put(
                        prefix + key,
                        value instanceof Collection ? YamlParserUtils.toYAMLString(value) : String.valueOf(value));
            }
        });
    }

    private static Map<String, String> fromEnvironment(Map<String, String> environment) {
        Map<String, String> values = new LinkedHashMap<>();
        for (ConfigOption<?> option : JobSettings.OPTIONS) {
            String value = environment.get(JobSettings.environmentName(option.key()));
            if (value != null) {
                values.put(option.key(), value);
            }
        }
        String kafka = JobSettings.environmentName(JobSettings.KAFKA_PROPERTIES);
        environment.forEach((name, value) -> {
            if (name.startsWith(kafka)) {
                // Kafka's own names have dots only
                values.put(
                        JobSettings.KAFKA_PROPERTIES
                                + name.substring(kafka.length())
                                        .toLowerCase(Locale.ROOT)
                                        .replace('_', '.'),
                        value);
            }
        });
        return values;
    }

    /**
     * Refuses a key under the prefix that is no option's, and names the option that it resembles most; and one of Flink's that
     * would be overwritten.
     *
     * @throws StartupException if there is such a key
     */
    static void checkKnown(String key) {
        String instead = SET_BY_THE_JOB.get(key);
        if (instead != null) {
            throw JobSettings.wrong("option", key + " is set by the job", instead + " in its place");
        }
        if (!key.startsWith(JobSettings.PREFIX) || key.startsWith(JobSettings.KAFKA_PROPERTIES)) {
            return;
        }
        List<String> keys = JobSettings.OPTIONS.stream().map(ConfigOption::key).toList();
        if (!keys.contains(key)) {
            throw JobSettings.wrong(
                    "option",
                    key + " is not known",
                    "one of the options"
                            + NearestName.of(key, keys)
                                    .map(", perhaps "::concat)
                                    .orElse(""));
        }
    }
}
