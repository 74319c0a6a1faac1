package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.upliftstream.job.InputOptions.StartFrom;
import io.upliftstream.job.ServingOptions.Mode;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class JobSettingsTest {
    @Test
    void everyOptionIsDescribed() {
        assertThat(JobSettings.OPTIONS)
                .allSatisfy(
                        option -> assertThat(option.description().getBlocks()).isNotEmpty());
    }

    @Test
    void readsYamlNestedOrFlatAndHandsFlinksKeysOn(@TempDir Path directory) throws IOException {
        Path file = directory.resolve("job.yaml");
        Files.writeString(
                file,
                """
                uplift:
                  mode: live
                  max-age: 250 ms
                  model: {bundle: bundles/street}
                  kafka:
                    properties:
                      security.protocol: SASL_SSL
                uplift.output.segmentation.encoding: raw-zstd
                taskmanager.numberOfTaskSlots: 2
                """);

        JobSettings settings = JobSettings.load(file, Map.of(), List.of());

        assertThat(settings.get(ServingOptions.MODE)).isEqualTo(Mode.LIVE);
        assertThat(settings.get(ServingOptions.MAX_AGE)).isEqualTo(Duration.ofMillis(250));
        assertThat(settings.bundle()).isEqualTo(Path.of("bundles/street"));
        assertThat(settings.get(OutputOptions.MASK_FORMAT)).isEqualTo(OutputOptions.MaskFormat.RAW_ZSTD);
        assertThat(settings.kafkaProperties())
                .containsOnly(
                        Map.entry("bootstrap.servers", "localhost:9092"), Map.entry("security.protocol", "SASL_SSL"));
        assertThat(settings.flinkConfiguration().toMap())
                .containsExactly(Map.entry("taskmanager.numberOfTaskSlots", "2"));
    }

    @Test
    void readsProperties(@TempDir Path directory) throws IOException {
        Path file = directory.resolve("job.properties");
        Files.writeString(file, "uplift.model.bundle=b\nuplift.frame.max-bytes=4 mb\n");

        assertThat(JobSettings.load(file, Map.of(), List.of()).get(InputOptions.FRAME_MAX_BYTES))
                .isEqualTo(MemorySize.ofMebiBytes(4));
    }

    @Test
    void assignmentsWinOverEnvironmentOverFile(@TempDir Path directory) throws IOException {
        Path file = directory.resolve("job.properties");
        Files.writeString(
                file, "uplift.model.bundle=b\nuplift.input.topic=f\nuplift.input.group-id=f\nuplift.parallelism=1\n");
        Map<String, String> environment = Map.of(
                "UPLIFT_INPUT_TOPIC", "e",
                "UPLIFT_INPUT_GROUP_ID", "e",
                "UPLIFT_KAFKA_PROPERTIES_SASL_JAAS_CONFIG", "secret",
                "UPLIFT_HOME", "not an option");

        JobSettings settings = JobSettings.load(file, environment, List.of("uplift.input.topic=a = b"));

        assertThat(settings.get(InputOptions.INPUT_TOPIC)).isEqualTo("a = b");
        assertThat(settings.get(InputOptions.GROUP_ID)).isEqualTo("e");
        assertThat(settings.kafkaProperties()).containsEntry("sasl.jaas.config", "secret");
        assertThat(settings.toString()).contains("uplift.input.topic=a = b").doesNotContain("secret");
    }

    @Test
    void deliveryFollowsTheMode() {
        assertThat(TestFrames.settings().delivery()).isEqualTo(DeliveryGuarantee.EXACTLY_ONCE);
        assertThat(TestFrames.settings("uplift.mode", "live").delivery()).isEqualTo(DeliveryGuarantee.AT_LEAST_ONCE);
        assertThat(TestFrames.settings("uplift.mode", "live", "uplift.delivery", "exactly-once")
                        .delivery())
                .isEqualTo(DeliveryGuarantee.EXACTLY_ONCE);
        assertThat(TestFrames.settings("uplift.delivery", "AT-LEAST-ONCE").delivery())
                .isEqualTo(DeliveryGuarantee.AT_LEAST_ONCE);
    }

    @Test
    void showsNoSecret() {
        JobSettings settings = TestFrames.settings(
                "uplift.kafka.properties.security.protocol", "SASL_SSL",
                "uplift.kafka.properties.sasl.jaas.config", "hush",
                "uplift.kafka.properties.ssl.keystore.key", "hush",
                "uplift.kafka.properties.ssl.truststore.password", "hush",
                "uplift.kafka.properties.my.interceptors.credential", "hush",
                "s3.secret-key", "hush");

        assertThat(settings.toString()).contains("security.protocol=SASL_SSL").doesNotContain("hush");
    }

    @Test
    void theStartFollowsTheMode() {
        assertThat(TestFrames.settings().start()).isEqualTo(StartFrom.GROUP);
        assertThat(TestFrames.settings("uplift.mode", "live").start()).isEqualTo(StartFrom.LATEST);
        assertThat(TestFrames.settings("uplift.mode", "live", "uplift.input.start", "age")
                        .start())
                .isEqualTo(StartFrom.AGE);
    }

    @Test
    void aHeadCanBeSwitchedOff() {
        JobSettings settings = TestFrames.settings("uplift.output.features.topic", "none");

        assertThat(settings.topic(HeadKind.SEGMENTATION)).contains("segmentation");
        assertThat(settings.topic(HeadKind.REGRESSION)).contains("depth");
        assertThat(settings.topic(HeadKind.FEATURES)).isEmpty();
    }

    @Test
    void saysWhichTopicsABundleWrites() {
        List<HeadSpec> heads = List.of(TestFrames.SEGMENTATION, TestFrames.FEATURES, TestFrames.DEPTH);
        JobSettings settings = TestFrames.settings("uplift.output.features.topic", "none");

        assertThat(settings.written(heads)).containsExactly(TestFrames.SEGMENTATION, TestFrames.DEPTH);
        assertThat(settings.outputTopics(heads)).containsExactly("segmentation", "depth", "failures", "dropped");
    }

    @ParameterizedTest
    @MethodSource("misconfigurations")
    void refusesWhatCannotWorkAsTheDocumentationSays(String assignment, String sentence) {
        StartupException refused = catchThrowableOfType(
                StartupException.class,
                () -> JobSettings.load(null, Map.of("UPLIFT_MODEL_BUNDLE", "bundle"), List.of(assignment)));

        assertThat(refused).hasMessage(sentence);
        assertThat(refused.exitCode()).isEqualTo(2);
    }

    /** The rows of the first table of docs/troubleshooting.md. */
    static List<Arguments> misconfigurations() throws IOException {
        List<Arguments> rows = Files.readAllLines(Path.of("..", "docs", "troubleshooting.md")).stream()
                .map(Pattern.compile("\\| `([a-z0-9.-]+=[^`]*)` \\| `([^`]*)` \\|")::matcher)
                .filter(Matcher::matches)
                .map(row -> Arguments.of(row.group(1), row.group(2)))
                .toList();
        assertThat(rows).hasSizeGreaterThanOrEqualTo(20);
        return rows;
    }

    @Test
    void refusesToRunWithoutABundle() {
        assertThatThrownBy(() -> JobSettings.of(Map.of()))
                .hasMessage(
                        "uplift.model.bundle is not set (expected: a bundle's directory, such as model/bundles/street)");
    }

    @Test
    void refusesFilesThatCannotBeRead(@TempDir Path directory) throws IOException {
        Path missing = directory.resolve("missing.yaml");
        assertThatThrownBy(() -> JobSettings.load(missing, Map.of(), List.of()))
                .isInstanceOf(StartupException.class)
                .hasMessage("configuration file: " + missing + " (expected: a file that exists)");

        Path broken = directory.resolve("broken.yaml");
        Files.writeString(broken, "uplift: [");
        assertThatThrownBy(() -> JobSettings.load(broken, Map.of(), List.of()))
                .isInstanceOf(StartupException.class)
                .hasMessageStartingWith("configuration file: " + broken + " cannot be read (")
                .message()
                .hasLineCount(1);

        Files.writeString(broken, "uplift.mode: live\nuplift.mode: lossless\n");
        assertThatThrownBy(() -> JobSettings.load(broken, Map.of(), List.of()))
                .hasMessageContaining("(line 2, column 1: found duplicate key uplift.mode; expected: ");
        Files.writeString(broken, "uplift:\n\tmode: live\n");
        assertThatThrownBy(() -> JobSettings.load(broken, Map.of(), List.of()))
                .hasMessageContaining("(line 2, column 1: found character '\\t");
        Files.write(broken, new byte[] {'a', (byte) 0xff, (byte) 0xfe});
        assertThatThrownBy(() -> JobSettings.load(broken, Map.of(), List.of()))
                .hasMessageContaining("cannot be read (it is not text in UTF-8; expected: ");

        assertThatThrownBy(() -> JobSettings.load(null, Map.of(), List.of("live")))
                .hasMessage("argument: live (expected: key=value)");
    }

    @Test
    void travelsWithTheJobGraph() throws Exception {
        JobSettings settings = TestFrames.settings("uplift.mode", "live");

        assertThat(InstantiationUtil.clone(settings).get(ServingOptions.MODE)).isEqualTo(Mode.LIVE);
    }

    /** A JobManager's threads outlive the job: what stays in them must not be of the job's class loader. */
    @Test
    void settingsAreReadWithoutAvro() throws Exception {
        try (FreshLoader loader = new FreshLoader()) {
            loader.loadClass(JobSettings.class.getName())
                    .getMethod("load", Path.class, Map.class, Collection.class)
                    .invoke(null, null, Map.of(), List.of("uplift.model.bundle=bundle"));
            assertThat(loader.hasLoaded("org.apache.avro.NameValidator")).isFalse();
            Class.forName("io.upliftstream.schemas.MaskEncoding", true, loader);
            assertThat(loader.hasLoaded("org.apache.avro.NameValidator")).isTrue();
        }
    }

    /** Loads all classes anew. */
    private static final class FreshLoader extends URLClassLoader {
        FreshLoader() throws IOException {
            super(classPath(), ClassLoader.getPlatformClassLoader());
        }

        private static URL[] classPath() throws IOException {
            String[] entries = System.getProperty("java.class.path").split(File.pathSeparator, -1);
            URL[] urls = new URL[entries.length];
            for (int i = 0; i < entries.length; i++) {
                urls[i] = Path.of(entries[i]).toUri().toURL();
            }
            return urls;
        }

        boolean hasLoaded(String name) {
            return findLoadedClass(name) != null;
        }
    }
}
