package io.upliftstream.tools.cli;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.upliftstream.tools.Listeners;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Every command that listens, in a process of its own: where it does, what it says of it, and whom it answers. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class ListenersITCase {
    private static final Pattern LOOPBACK = Pattern.compile("127\\.0\\.0\\.1:(\\d+)");
    private static final Pattern FLINK = Pattern.compile("Flink at 127\\.0\\.0\\.1:(\\d+)");

    @TempDir
    private Path directory = Path.of(".");

    private Path output = Path.of(".");
    private @Nullable Process process;

    @AfterEach
    void end() throws InterruptedException {
        if (process != null) {
            process.destroy();
            process.waitFor();
        }
    }

    /** Starts a command and returns the line that says where it listens. */
    private String start(String line, List<String> wrapper, List<String> arguments) throws Exception {
        output = Files.createTempFile(directory, "output", ".log");
        process = Commands.start(directory, output, wrapper, arguments);
        while (true) {
            for (String printed : Files.readAllLines(output)) {
                if (printed.contains(line)) {
                    return printed;
                }
            }
            assertThat(process.isAlive()).as(Files.readString(output)).isTrue();
            Thread.sleep(50);
        }
    }

    private void assertListensWhereItSays(String said) throws Exception {
        Set<Integer> ports = new TreeSet<>();
        LOOPBACK.matcher(said).results().forEach(port -> ports.add(Integer.valueOf(port.group(1))));
        assertThat(Listeners.of(process().pid())).isEqualTo(new Listeners(ports, Set.of()));
    }

    private Process process() {
        return requireNonNull(process);
    }

    private static List<String> run(Topics topics, String... more) {
        List<String> arguments = new ArrayList<>(List.of("run"));
        topics.assignments("uplift.input.stop=never")
                .forEach(assignment -> arguments.addAll(List.of("--set", assignment)));
        arguments.addAll(List.of(more));
        return arguments;
    }

    private static int flink(String said) {
        Matcher port = FLINK.matcher(said);
        assertThat(port.find()).as(said).isTrue();
        return Integer.parseInt(port.group(1));
    }

    /** The status of an answer. */
    private static String ask(int port, String request, String... headers) throws IOException {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            String text = Stream.concat(Stream.of(request + " HTTP/1.1"), Stream.of(headers))
                    .reduce("", (all, line) -> all + line + "\r\n");
            if (!text.contains("Host:")) {
                text += "Host: localhost:" + port + "\r\n";
            }
            socket.getOutputStream().write((text + "Connection: close\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(answer.toLowerCase(Locale.ROOT)).doesNotContain("access-control-allow-origin");
            return answer.substring("HTTP/1.1 ".length(), "HTTP/1.1 200".length());
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return free.getLocalPort();
        }
    }

    @Test
    void aBroker() throws Exception {
        assertListensWhereItSays(start("Listening: ", List.of(), List.of("kafka", "--port=0")));
    }

    @Test
    void aDemo() throws Exception {
        String said = start(
                "Listening until",
                List.of(),
                List.of("demo", "--bundle=" + Topics.BUNDLE, "--mode=live", "--output=" + directory.resolve("out")));
        assertListensWhereItSays(said);
        assertThat(ask(flink(said), "GET /jobs")).isEqualTo("403");
    }

    @Test
    void aJobAndTheLivePage() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "listeners", 1, 1 << 20);
            String said = start("Listening: ", List.of(), run(topics));
            assertListensWhereItSays(said);
            assertThat(ask(flink(said), "GET /")).isEqualTo("403");
            assertThat(ask(flink(said), "GET /jobs")).isEqualTo("403");
            assertThat(ask(flink(said), "POST /jars/upload", "Content-Length: 0"))
                    .isEqualTo("403");
            end();
            assertListensWhereItSays(start(
                    "Watching at",
                    List.of(),
                    List.of("view", "--port=0", "--no-browser", "--bootstrap-servers=" + kafka.bootstrapServers())));
        }
    }

    @Test
    void flinksPageAndMetricsForThisMachineAloneAndToLookAt() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "page", 1, 1 << 20);
            int metrics = freePort();
            String said = start("Listening: ", List.of(), run(topics, "--flink-page", "--metrics-port=" + metrics));
            assertListensWhereItSays(said);
            int page = flink(said);
            assertThat(ask(page, "GET /")).isEqualTo("200");
            assertThat(ask(page, "GET /jobs")).isEqualTo("200");
            assertThat(ask(page, "GET /jobs", "Origin: http://localhost:" + page))
                    .isEqualTo("200");
            for (String foreign : List.of(
                    "Host: evil.example",
                    "Host: evil.example:" + page,
                    "Host: 127.0.0.1.evil.example",
                    "Origin: http://evil.example",
                    "Origin: null",
                    "Sec-Fetch-Site: cross-site",
                    "Sec-Fetch-Site: same-site")) {
                assertThat(ask(page, "GET /jobs", foreign)).as(foreign).isEqualTo("403");
            }
            String job = "/jobs/" + "0".repeat(32);
            for (String change : List.of(
                    "POST /jars/upload",
                    "POST /jars/a.jar/run",
                    "PATCH " + job,
                    "GET " + job + "/yarn-cancel",
                    "GET " + job + "/%79arn-cancel",
                    "GET " + job + "/yarn-stop",
                    "DELETE /cluster",
                    "OPTIONS /jars/upload")) {
                assertThat(ask(page, change, "Content-Length: 0")).as(change).isEqualTo("403");
            }
            List<Socket> halfSent = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                halfSent.add(new Socket(InetAddress.getLoopbackAddress(), metrics));
                halfSent.get(i).getOutputStream().write('G');
            }
            assertThat(ask(metrics, "GET /metrics")).isEqualTo("200");
            for (Socket socket : halfSent) {
                socket.close();
            }
            assertThat(ask(metrics, "POST /metrics", "Content-Length: 0")).isEqualTo("405");
            assertThat(ask(metrics, "GET /metrics", "Host: evil.example")).isEqualTo("403");
        }
    }

    @Test
    void aMetricsPortThatIsTakenIsOneSentence() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            StartupITCase.Outcome outcome = StartupITCase.uplift(
                    "run", "--set=uplift.model.bundle=" + Topics.BUNDLE, "--metrics-port=" + taken.getLocalPort());
            assertThat(outcome.exitCode()).isEqualTo(3);
            assertThat(outcome.errors().lines().toList()).hasSize(1);
            assertThat(outcome.errors()).contains("Address already in use", "expected: an address of this machine");
        }
    }

    @Test
    void onAMachineWhoseNameHasNoAddress() throws Exception {
        List<String> wrapper =
                List.of("unshare", "-u", "sh", "-c", "hostname no-address.invalid && exec \"$0\" \"$@\"");
        Process tried = new ProcessBuilder(
                        Stream.concat(wrapper.stream(), Stream.of("true")).toList())
                .start();
        assumeTrue(tried.waitFor() == 0, "needs the right to a host name of its own: not run");
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            assertListensWhereItSays(start("Listening: ", wrapper, run(Topics.create(kafka, "nameless", 1, 1 << 20))));
        }
    }

    @Test
    void aStateDirectoryThatIsNotTheUsersOwnIsOneSentenceAndNothingIsWritten() throws Exception {
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        Path state = Files.createSymbolicLink(directory.resolve("uplift-stream"), elsewhere);
        Commands linked = Commands.run(directory, List.of("--version"));
        assertThat(linked.exitCode()).isEqualTo(3);
        assertThat(linked.output())
                .isEqualTo("uplift: state directory %s: a link (expected: a directory)%n".formatted(state));
        assertThat(elsewhere).isEmptyDirectory();

        Files.delete(state);
        Files.createDirectory(state);
        assumeTrue(Files.getAttribute(state, "unix:uid").equals(0), "only root can give a directory away: not run");
        Path victim = Files.writeString(directory.resolve("victim"), "mine");
        Files.createSymbolicLink(Files.createDirectory(state.resolve("log")).resolve("uplift.log"), victim);
        Files.setAttribute(state, "unix:uid", 65534);
        Commands foreign = Commands.run(directory, List.of("--version"));
        assertThat(foreign.exitCode()).isEqualTo(3);
        assertThat(foreign.output())
                .isEqualTo("uplift: state directory %s: it belongs to user 65534 (expected: to this user, 0)%n"
                        .formatted(state));
        assertThat(victim).hasContent("mine");
    }
}
