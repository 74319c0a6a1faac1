package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What cannot work says so in one sentence, with the exit code of its kind. */
class StartupITCase {
    private static EmbeddedKafka kafka;

    @BeforeAll
    static void start() throws IOException {
        kafka = EmbeddedKafka.start();
        kafka.createTopic("two-partitions", 2, Map.of());
    }

    @AfterAll
    static void stop() {
        kafka.close();
    }

    record Outcome(int exitCode, String errors) {}

    static Outcome uplift(String... arguments) {
        StringWriter errors = new StringWriter();
        int exitCode = Uplift.run(arguments, new PrintWriter(errors, true));
        return new Outcome(exitCode, errors.toString());
    }

    static Outcome run(String... settings) {
        return uplift(
                Stream.concat(Stream.of("run"), Stream.of(settings).flatMap(setting -> Stream.of("--set", setting)))
                        .toArray(String[]::new));
    }

    private static String broker() {
        return "uplift.kafka.bootstrap-servers=" + kafka.bootstrapServers();
    }

    private static String bundle(Path directory) {
        return "uplift.model.bundle=" + directory;
    }

    private static void assertSentence(Outcome outcome, int exitCode, String... parts) {
        assertThat(outcome.exitCode()).as(outcome.errors()).isEqualTo(exitCode);
        assertThat(outcome.errors().lines().toList())
                .as("one sentence and no stack trace")
                .hasSize(1);
        assertThat(outcome.errors()).startsWith("uplift: ").contains("expected").contains(parts);
    }

    /** That the outcome is one of the rows of docs/troubleshooting.md, names of this run aside. */
    static void assertDocumented(Outcome outcome, int exitCode, String broker, String bundle) throws IOException {
        assertThat(outcome.exitCode()).as(outcome.errors()).isEqualTo(exitCode);
        String sentence = outcome.errors()
                .strip()
                .replaceFirst("^uplift: ", "")
                .replace(broker, "BROKER")
                .replace(bundle, "BUNDLE")
                .replaceFirst("[0-9a-f]{64}", "FOUND")
                .replaceFirst("[0-9a-f]{64}", "EXPECTED");
        try (Stream<String> lines = Files.lines(Path.of("..", "docs", "troubleshooting.md"))) {
            assertThat(lines.anyMatch(line -> line.endsWith("| `" + sentence + "` | " + exitCode + " |")))
                    .as("documented: " + sentence)
                    .isTrue();
        }
    }

    @Test
    void unknownOptionOfTheJob() {
        assertSentence(run(bundle(Topics.BUNDLE), "uplift.moed=live"), 2, "uplift.moed", "perhaps uplift.mode");
    }

    @Test
    void impossibleValue() {
        assertSentence(run(bundle(Topics.BUNDLE), "uplift.mode=fast"), 2, "uplift.mode: fast", "lossless, live");
    }

    @Test
    void unknownOptionOfTheCommandLine() {
        Outcome outcome = uplift("demo", "--farmes", "3");
        assertThat(outcome.exitCode()).isEqualTo(2);
        assertThat(outcome.errors().lines().toList()).hasSize(1);
        assertThat(outcome.errors()).contains("--farmes").contains("--help");
    }

    @Test
    void impossibleNumberOnTheCommandLine() {
        assertSentence(uplift("demo", "--cameras", "0"), 2, "--cameras: 0");
        assertSentence(uplift("kafka", "--port", "65536"), 2, "--port: 65536", "65535");
        assertSentence(uplift("kafka", "--partitions", "0"), 2, "--partitions: 0");
    }

    @Test
    void withoutACommandItSaysWhichThereAre() {
        Outcome outcome = uplift();
        assertThat(outcome.exitCode()).isEqualTo(2);
        assertThat(outcome.errors()).startsWith("Usage: uplift").contains("uplift demo", "publish", "kafka");
    }

    @Test
    void inputThatIsNotThere() {
        assertSentence(
                uplift("demo", "--bundle", Topics.BUNDLE.toString(), "--input", "no-such.mp4"), 3, "no-such.mp4");
    }

    @Test
    void wrongSourcesAndRates() {
        assertSentence(uplift("publish", "--input", "no-such.mp4"), 3, "no-such.mp4", "rtsp://");
        assertSentence(uplift("publish", "--input", "pom.xml"), 3, "pom.xml", "FFmpeg");
        assertSentence(
                uplift("publish", "--input", "synthetic", "--input", "street=pom.xml"), 2, "street", "NAME=SOURCE");
        assertSentence(uplift("publish", "--input", "synthetic", "--rate", "fast"), 2, "--rate: fast", "native, max");
        assertSentence(uplift("publish", "--input", "synthetic", "--size", "huge"), 2, "--size: huge");
        assertSentence(uplift("consume", "failures", "--format", "png"), 2, "png of failures", "json");
    }

    @Test
    void publishAndConsumeWithoutTheirTopic() {
        String servers = kafka.bootstrapServers();
        assertSentence(
                uplift("publish", "--input", "synthetic", "--bootstrap-servers", servers),
                3,
                "camera-frames is not on " + servers,
                "--partitions");
        assertSentence(
                uplift("consume", "depth", "--bootstrap-servers", servers),
                3,
                "depth is not on " + servers,
                "uplift.output.regression.topic");
    }

    @Test
    void frameThatItsTopicDoesNotTake() throws IOException {
        kafka.createTopic("narrow", 1, Map.of("max.message.bytes", "2000"));
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream console = System.out;
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        Outcome outcome;
        try {
            outcome = uplift(
                    "publish",
                    "--input=synthetic",
                    "--limit=2",
                    "--set",
                    broker(),
                    "--set",
                    "uplift.input.topic=narrow");
        } finally {
            System.setOut(console);
        }
        assertThat(outcome.exitCode()).isEqualTo(1);
        assertThat(printed.toString(StandardCharsets.UTF_8))
                .contains("frame 0 of street: ", "frame 1 of street: ", "max.message.bytes of topic narrow");
    }

    @Test
    void missingInputTopic() throws IOException {
        assertDocumented(
                run(broker(), bundle(Topics.BUNDLE), "uplift.input.topic=nowhere"),
                3,
                kafka.bootstrapServers(),
                "no bundle");
    }

    @Test
    void missingOutputTopic() throws IOException {
        assertDocumented(
                run(broker(), bundle(Topics.BUNDLE), "uplift.input.topic=two-partitions"),
                3,
                kafka.bootstrapServers(),
                "no bundle");
    }

    @Test
    void moreParallelismThanPartitions() throws IOException {
        assertDocumented(
                run(broker(), bundle(Topics.BUNDLE), "uplift.input.topic=two-partitions", "uplift.parallelism=3"),
                2,
                kafka.bootstrapServers(),
                "no bundle");
    }

    @Test
    void unreachableSchemaRegistry() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        String registry = "http://127.0.0.1:" + port;
        Outcome outcome = uplift(
                "publish",
                "--input=synthetic",
                "--schema-registry",
                registry,
                "--set",
                broker(),
                "--set",
                "uplift.input.topic=two-partitions",
                "--set",
                "uplift.schema-registry.subjects=record");
        assertDocumented(
                new Outcome(outcome.exitCode(), outcome.errors().replace(registry, "REGISTRY")),
                3,
                kafka.bootstrapServers(),
                "no bundle");
    }

    @Test
    void unreachableBroker() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        assertDocumented(
                run(
                        "uplift.kafka.bootstrap-servers=127.0.0.1:" + port,
                        "uplift.kafka.timeout=500 ms",
                        bundle(Topics.BUNDLE)),
                3,
                "127.0.0.1:" + port,
                "no bundle");
    }

    @Test
    void missingBundle(@TempDir Path directory) throws IOException {
        assertDocumented(run(broker(), bundle(directory)), 3, kafka.bootstrapServers(), directory.toString());
    }

    @Test
    void anotherBundleThanThePinnedOne() throws IOException {
        assertDocumented(
                run(broker(), bundle(Topics.BUNDLE), "uplift.model.sha256=" + "0".repeat(64)),
                3,
                kafka.bootstrapServers(),
                Topics.BUNDLE.toString());
    }

    @Test
    void missingGpu() throws IOException {
        for (String output : List.of("segmentation", "features", "depth", "failures", "dropped")) {
            kafka.createTopic("gpu-" + output, 1, Map.of());
        }
        assertDocumented(
                run(
                        broker(),
                        bundle(Topics.BUNDLE),
                        "uplift.model.device=cuda:7",
                        "uplift.input.topic=two-partitions",
                        "uplift.output.segmentation.topic=gpu-segmentation",
                        "uplift.output.features.topic=gpu-features",
                        "uplift.output.regression.topic=gpu-depth",
                        "uplift.output.failures.topic=gpu-failures",
                        "uplift.output.dropped.topic=gpu-dropped"),
                3,
                kafka.bootstrapServers(),
                "no bundle");
    }

    @Test
    void changedBundle(@TempDir Path directory) throws IOException {
        copy(Topics.BUNDLE, directory);
        Files.write(directory.resolve("labels.json"), new byte[] {'\n'}, StandardOpenOption.APPEND);
        assertDocumented(run(broker(), bundle(directory)), 3, kafka.bootstrapServers(), directory.toString());
        assertSentence(uplift("model", "show", directory.toString()), 3, "labels.json", "SHA-256");
        assertSentence(
                uplift("infer", "--bundle", directory.toString(), "--input", "pom.xml", "--output", "target"),
                3,
                "pom.xml");
    }

    @Test
    void stackTraceOnlyOnRequest() {
        assertThat(uplift("--debug", "run", "--set", "uplift.mode=fast").errors())
                .contains("StartupException")
                .contains("\tat ");
    }

    private static void copy(Path from, Path to) throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(from)) {
            files = walk.filter(Files::isRegularFile).toList();
        }
        for (Path file : files) {
            Path target = to.resolve(from.relativize(file).toString());
            Files.createDirectories(target.getParent());
            Files.copy(file, target);
        }
    }
}
