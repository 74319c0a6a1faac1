package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
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
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The mistakes of {@code mistakes.txt}, each tried: how the command ends, and the one sentence that it says. */
@Timeout(value = 3, unit = TimeUnit.MINUTES)
class MistakesITCase {
    private static final Path TABLE = Path.of("src", "test", "resources", "mistakes.txt");

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private static Path directory;

    private static final Map<String, String> NAMES = new HashMap<>();
    private static EmbeddedKafka kafka;
    private static ServerSocket taken;
    private static boolean mounted;

    record Mistake(int exitCode, String command, String sentence) {
        @Override
        public String toString() {
            return command;
        }
    }

    record Outcome(int exitCode, String said) {}

    static List<Mistake> mistakes() throws IOException {
        List<Mistake> mistakes = new ArrayList<>();
        for (String line : Files.readAllLines(TABLE)) {
            if (!line.isBlank() && !line.startsWith("#")) {
                String[] cells = line.split(" \\| ", 3);
                mistakes.add(new Mistake(Integer.parseInt(cells[0]), cells[1], cells[2]));
            }
        }
        return mistakes;
    }

    @BeforeAll
    static void surroundings() throws Exception {
        System.setProperty(ModelOption.HOME, Path.of("..").toRealPath().toString()); // as the launcher does
        Path home = directory.toRealPath();
        Files.createDirectory(home.resolve("empty"));
        Files.writeString(home.resolve("file"), "a text");
        Files.writeString(home.resolve("no-image.jpg"), "no image");
        Files.write(home.resolve("photo.jpg"), Images.jpeg(new BufferedImage(64, 48, BufferedImage.TYPE_INT_RGB), 0.9));
        Files.writeString(home.resolve("bad.yaml"), "uplift.mode: live\n bad: [\n");
        Files.writeString(
                home.resolve("endless.sql"),
                "CREATE TABLE t (f BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1'); SELECT f FROM t");
        Files.createSymbolicLink(home.resolve("link"), home.resolve("nowhere"));
        Path full = Files.createDirectory(home.resolve("full"));
        Path readOnly = Files.createDirectory(home.resolve("read-only"));
        mounted = mount(full, "size=64k") && mount(readOnly, "ro");
        boolean unused = readOnly.toFile().setWritable(false); // which root does not mind

        kafka = EmbeddedKafka.start();
        kafka.createTopic("camera-frames", 1, Map.of());
        kafka.createTopic("segmentation", 1, Map.of());
        taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        int closed;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            closed = free.getLocalPort();
        }
        NAMES.put("{dir}", home.toString());
        NAMES.put("{full}", full.toString());
        NAMES.put("{readonly}", readOnly.toString());
        NAMES.put("{here}", Path.of("").toAbsolutePath().toString());
        NAMES.put(
                "{street}",
                Path.of("..", "model", "bundles", "street").toRealPath().toString());
        NAMES.put("{broker}", kafka.bootstrapServers());
        NAMES.put("{closed}", Integer.toString(closed));
        NAMES.put("{taken}", Integer.toString(taken.getLocalPort()));
        assertThat(uplift("publish --input gate={dir}/photo.jpg --rate max --bootstrap-servers {broker}"))
                .isEqualTo(new Outcome(0, ""));
    }

    private static boolean mount(Path directory, String options) throws Exception {
        return new ProcessBuilder("mount", "-t", "tmpfs", "-o", options, "tmpfs", directory.toString())
                        .redirectErrorStream(true)
                        .start()
                        .waitFor()
                == 0;
    }

    @AfterAll
    static void stop() throws Exception {
        System.clearProperty(ModelOption.HOME);
        kafka.close();
        taken.close();
        if (mounted) {
            new ProcessBuilder("umount", NAMES.get("{full}"), NAMES.get("{readonly}"))
                    .start()
                    .waitFor();
        }
    }

    private static String named(String text) {
        String named = text;
        for (Map.Entry<String, String> name : NAMES.entrySet()) {
            named = named.replace(name.getKey(), name.getValue());
        }
        return named;
    }

    private static Outcome uplift(String command) {
        PrintStream err = System.err;
        StringWriter said = new StringWriter();
        var printed = new ByteArrayOutputStream();
        System.setErr(new PrintStream(printed, true, StandardCharsets.UTF_8));
        try {
            int exitCode = Uplift.run(named(command).split(" "), new PrintWriter(said, true));
            return new Outcome(exitCode, said + printed.toString(StandardCharsets.UTF_8));
        } finally {
            System.setErr(err);
        }
    }

    @ParameterizedTest
    @MethodSource("mistakes")
    void isToldInOneSentence(Mistake mistake) {
        assumeTrue(mounted || !mistake.command.contains("{full}"), "no right to mount a small disk");
        assumeTrue(
                !mistake.command.contains("{readonly}") || !Files.isWritable(Path.of(NAMES.get("{readonly}"))),
                "this user may write everywhere");
        long begin = System.nanoTime();
        Outcome outcome = uplift(mistake.command);
        Duration took = Duration.ofNanos(System.nanoTime() - begin);
        assertThat(outcome.said).doesNotContain("\tat ", "Exception");
        assertThat(outcome.said.strip().replaceFirst("^uplift: ", "").replace('\n', ' '))
                .matches(Pattern.compile(Pattern.quote(named(mistake.sentence)).replace("...", "\\E.*\\Q")));
        assertThat(outcome.exitCode).as(outcome.said).isEqualTo(mistake.exitCode);
        System.out.printf("%5d ms  %s%n", took.toMillis(), mistake.command);
    }

    /** Ctrl-C, at several moments of every command that takes a while. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "demo --no-browser --output {dir}/stopped --frames 500",
                "infer --input {dir}/photo.jpg --output {dir}/stopped",
                "run --set uplift.model.bundle={street} --set uplift.kafka.bootstrap-servers={broker}"
                        + " --set uplift.output.create-topics=true",
                "kafka --port 0",
                "publish --input synthetic --bootstrap-servers {broker}",
                "consume segmentation --follow --bootstrap-servers {broker}",
                "view --no-browser --port 0 --bootstrap-servers {broker}",
                "view --no-browser --port 0 --bootstrap-servers 127.0.0.1:{closed}",
                "sql {dir}/endless.sql",
                "model verify {street}",
                "bench model --rounds 500",
                "synthesize --output {dir}/stopped"
            })
    void endsSoonAfterCtrlC(String command) throws InterruptedException {
        for (int millis : new int[] {0, 300, 1000, 4000}) {
            AtomicInteger exitCode = new AtomicInteger(-1);
            StringWriter said = new StringWriter();
            Thread main = new Thread(
                    () -> exitCode.set(Uplift.run(named(command).split(" "), new PrintWriter(said, true))), "main");
            main.start();
            main.join(millis + 1);
            Uplift.stop(main);
            main.join(Duration.ofSeconds(60).toMillis());
            assertThat(main.isAlive()).as("%s after %d ms", command, millis).isFalse();
            assertThat(said.toString().strip())
                    .matches("(\\d+ of \\d+ frames, .*\\R)*(uplift: stopped before the end)?");
            assertThat(exitCode.get()).as(command).isIn(0, 130);
        }
    }
}
