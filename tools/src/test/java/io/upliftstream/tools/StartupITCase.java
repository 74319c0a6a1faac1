package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.assertj.core.api.InstanceOfAssertFactories;
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

    private record Outcome(int exitCode, String errors) {}

    private static Outcome uplift(String... arguments) {
        StringWriter errors = new StringWriter();
        int exitCode = Uplift.run(arguments, new PrintWriter(errors, true));
        return new Outcome(exitCode, errors.toString());
    }

    private static Outcome run(String... settings) {
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
    }

    @Test
    void inputThatIsNotThere() {
        assertSentence(
                uplift("demo", "--bundle", Topics.BUNDLE.toString(), "--input", "no-such.mp4"), 2, "no-such.mp4");
    }

    @Test
    void missingTopic() {
        assertSentence(
                run(broker(), bundle(Topics.BUNDLE), "uplift.input.topic=nowhere"), 3, "nowhere", "an existing topic");
    }

    @Test
    void moreParallelismThanPartitions() {
        assertSentence(
                run(broker(), bundle(Topics.BUNDLE), "uplift.input.topic=two-partitions", "uplift.parallelism=3"),
                2,
                "uplift.parallelism: 3",
                "<= 2");
    }

    @Test
    void unreachableBroker() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        assertSentence(
                run(
                        "uplift.kafka.bootstrap-servers=127.0.0.1:" + port,
                        "uplift.kafka.timeout=500 ms",
                        bundle(Topics.BUNDLE)),
                3,
                "127.0.0.1:" + port);
    }

    @Test
    void missingBundle(@TempDir Path directory) {
        Outcome outcome = run(broker(), bundle(directory));
        assertThat(outcome.exitCode()).isEqualTo(3);
        assertThat(outcome.errors().lines().toList())
                .hasSize(1)
                .first(InstanceOfAssertFactories.STRING)
                .contains(directory.toString(), "manifest.json is missing");
    }

    @Test
    void corruptBundle(@TempDir Path directory) throws IOException {
        copy(Topics.BUNDLE, directory);
        Files.write(directory.resolve("labels.json"), new byte[] {'\n'}, StandardOpenOption.APPEND);
        assertSentence(run(broker(), bundle(directory)), 3, "labels.json", "SHA-256");
        assertSentence(uplift("model", "show", directory.toString()), 3, "labels.json", "SHA-256");
        assertSentence(
                uplift("infer", "--bundle", directory.toString(), "--input", "pom.xml", "--output", "target"),
                2,
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
