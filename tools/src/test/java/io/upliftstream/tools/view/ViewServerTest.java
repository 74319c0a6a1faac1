package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.upliftstream.job.JobSettings;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The viewer under questions that its own page does not ask; there is no Kafka. */
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class ViewServerTest {
    private static final JobSettings SETTINGS = JobSettings.load(
            null, Map.of(), List.of("uplift.kafka.bootstrap-servers=127.0.0.1:1", "uplift.model.bundle=none"));
    private static ViewServer server;
    private static int port;

    @BeforeAll
    static void start() throws Exception {
        server = new ViewServer(
                SETTINGS,
                List.of(),
                "",
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                Set.of("Cams.example"));
        port = server.page().getPort();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static Socket connect() throws IOException {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), port);
        socket.setSoTimeout(30_000);
        return socket;
    }

    /** The whole answer to a request line and headers. */
    private static String ask(String line, String... headers) throws IOException {
        return ask(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), line, headers);
    }

    private static String ask(InetSocketAddress server, String line, String... headers) throws IOException {
        try (Socket socket = new Socket(server.getAddress(), server.getPort())) {
            socket.setSoTimeout(30_000);
            String head = line + " HTTP/1.1\r\nConnection: close\r\n" + String.join("\r\n", headers)
                    + (headers.length == 0 ? "" : "\r\n") + "\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.ISO_8859_1));
            InputStream in = socket.getInputStream();
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static String get(String path) throws IOException {
        return ask("GET " + path, "Host: localhost:" + port);
    }

    private static void assertRefused(String answer, int status, String sentence) {
        assertThat(answer)
                .startsWith("HTTP/1.1 " + status + " ")
                .contains("text/plain")
                .contains(sentence);
    }

    @Test
    void everyErrorHasItsStatusAndASentence() throws IOException {
        assertRefused(get("/nothing"), 404, "no such page");
        assertRefused(get("/live?after=x"), 400, "after: x (expected: 0 to ");
        assertRefused(get("/live?want=labels,passwords"), 400, "want: ");
        assertRefused(get("/live?want=labels,labels"), 400, "want: one of them twice");
        assertRefused(get("/live?camera=a&camera=a"), 400, "camera: one of them twice");
        assertRefused(get("/live?camera=" + String.join("&camera=", numbers(101))), 400, "camera: 101 of them");
        assertThat(get("/live?camera=%zz")).startsWith("HTTP/1.1 400 "); // by the JDK's server itself
        assertRefused(get("/frame"), 400, "partition and offset: none");
        assertRefused(get("/frame?partition=-1&offset=0"), 400, "partition: -1");
        assertRefused(get("/live?camera=" + "a".repeat(10_000)), 414, "at most 8192");
        assertRefused(ask("POST /live", "Host: localhost"), 405, "GET or HEAD");
        assertThat(ask("DELETE /", "Host: localhost")).contains("Allow: GET, HEAD");
        assertRefused(get("/frame?partition=0&offset=0"), 503, "Kafka does not answer");
    }

    private static List<String> numbers(int count) {
        List<String> numbers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            numbers.add(Integer.toString(i));
        }
        return numbers;
    }

    /** One question of 160 KB ended the viewer: 18,000 times the same part. */
    @Test
    void aLongQuestionIsRefused() throws IOException {
        assertRefused(get("/live?want=" + "features,".repeat(2_000)), 414, "18");
        try {
            assertThat(get("/live?want=" + "features,".repeat(18_000))).isEmpty();
        } catch (SocketException e) {
            // The JDK's server reads no more than 32 KB of a question's head and hangs up.
        }
        assertThat(get("/statistics")).startsWith("HTTP/1.1 200 ");
    }

    @Test
    void onlyItsOwnNamesAreAnswered() throws IOException {
        for (String host : List.of("localhost", "LOCALHOST:1", "127.0.0.1:" + port, "[::1]:80", "cams.example")) {
            assertThat(ask("GET /statistics", "Host: " + host)).as(host).startsWith("HTTP/1.1 200 ");
        }
        for (String host :
                List.of("evil.example", "evil.example:" + port, "localhost.evil.example", "127.0.0.1.", "")) {
            assertRefused(ask("GET /statistics", "Host: " + host), 403, "--allow-host");
        }
        assertRefused(ask("GET /statistics"), 400, "Host: 0 of them");
        assertRefused(ask("GET /statistics", "Host: localhost", "Host: evil.example"), 400, "Host: 2 of them");
    }

    /** A browser asks for fd00::2, and the JDK calls it fd00:0:0:0:0:0:0:2. */
    @Test
    void anAddressOfIpv6IsAnsweredHoweverItIsSpelled() throws IOException {
        byte[] one = new byte[16];
        one[15] = 1;
        InetAddress loopback = InetAddress.getByAddress(one);
        try (ServerSocket any = new ServerSocket(0, 1, loopback)) {
            assertThat(any.isBound()).isTrue();
        } catch (IOException e) {
            assumeTrue(false, "no IPv6 here: " + e.getMessage());
        }
        try (ViewServer view = new ViewServer(SETTINGS, List.of(), "", new InetSocketAddress(loopback, 0))) {
            InetSocketAddress at = new InetSocketAddress(loopback, view.page().getPort());
            for (String host : List.of("[::1]", "[0::1]", "[0:0:0:0:0:0:0:1]:" + at.getPort())) {
                assertThat(ask(at, "GET /statistics", "Host: " + host)).as(host).startsWith("HTTP/1.1 200 ");
            }
            for (String host : List.of("[::2]", "[evil.example]", "[::1", "[]")) {
                assertRefused(ask(at, "GET /statistics", "Host: " + host), 403, "--allow-host");
            }
            assertThat(view.page().toURL().openStream()).isNotEmpty();
        }
    }

    @Test
    void otherPagesGetNothing() throws IOException {
        String host = "Host: localhost:" + port;
        for (String origin : List.of("http://evil.example", "null", "http://localhost:1", "https://localhost")) {
            assertRefused(ask("GET /live", host, "Origin: " + origin), 403, "Origin");
        }
        assertThat(ask("GET /labels", host, "Origin: http://localhost:" + port)).startsWith("HTTP/1.1 200 ");
        for (String site : List.of("cross-site", "same-site")) {
            assertRefused(
                    ask("GET /image?partition=0&offset=0", host, "Sec-Fetch-Site: " + site), 403, "Sec-Fetch-Site");
            assertRefused(
                    ask("GET /", host, "Sec-Fetch-Site: " + site, "Sec-Fetch-Dest: iframe"), 403, "Sec-Fetch-Site");
        }
        assertThat(ask("GET /", host, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document"))
                .as("a link")
                .startsWith("HTTP/1.1 200 ");
    }

    @Test
    void everyAnswerSaysThatOthersMayNotUseIt() throws IOException {
        for (String path : List.of("/", "/app.js", "/records.js", "/statistics", "/nothing")) {
            assertThat(get(path).split("\r\n\r\n", 2)[0].toLowerCase(Locale.ROOT))
                    .as(path)
                    .contains(
                            "frame-ancestors 'none'", "default-src 'none'", "cross-origin-resource-policy: same-origin")
                    .contains("referrer-policy: no-referrer", "cache-control: no-store", "nosniff");
        }
        String head = ask("HEAD /", "Host: localhost");
        assertThat(head)
                .startsWith("HTTP/1.1 200 ")
                .containsIgnoringCase("content-length: ")
                .endsWith("\r\n\r\n");
    }

    @Test
    void halfSentQuestionsShutNobodyOut() throws Exception {
        List<Socket> slow = new ArrayList<>();
        try {
            for (int i = 0; i < 300; i++) {
                Socket socket = connect();
                socket.getOutputStream()
                        .write("GET /statistics HTTP/1.1\r\nHost: x\r\nX-A: ".getBytes(StandardCharsets.US_ASCII));
                slow.add(socket);
            }
            assertThat(get("/statistics")).startsWith("HTTP/1.1 200 ");
            for (Socket socket : slow) { // all are ended after a while
                assertThat(socket.getInputStream().readAllBytes()).isEmpty();
            }
        } finally {
            for (Socket socket : slow) {
                socket.close();
            }
        }
    }

    @Test
    void tooManyQuestionsOfOneAddressAreToldSo() throws Exception {
        List<Socket> waiting = new ArrayList<>();
        try {
            for (int i = 0; i <= Door.MAX_OF_ONE; i++) {
                Socket socket = connect();
                socket.getOutputStream()
                        .write("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
                waiting.add(socket);
            }
            String answer = "";
            for (int i = 0; i < 50 && !answer.startsWith("HTTP/1.1 429 "); i++) {
                answer = get("/statistics");
            }
            assertRefused(answer, 429, "of one address at a time");
        } finally {
            for (Socket socket : waiting) {
                socket.close();
            }
        }
        Thread.sleep(11_000); // until those that wait have waited
        assertThat(get("/statistics")).startsWith("HTTP/1.1 200 ");
    }

    /** A request line without an end is ended, and takes no memory. */
    @Test
    void anEndlessAddressIsCutOff() throws Exception {
        byte[] some = "a".repeat(1 << 16).getBytes(StandardCharsets.US_ASCII);
        long sent = 0;
        try (Socket socket = connect()) {
            socket.getOutputStream().write("GET /".getBytes(StandardCharsets.US_ASCII));
            while (sent < 1L << 28) {
                socket.getOutputStream().write(some);
                sent += some.length;
            }
        } catch (IOException e) {
            // as it should be
        }
        assertThat(sent).isLessThan(1L << 27);
    }
}
