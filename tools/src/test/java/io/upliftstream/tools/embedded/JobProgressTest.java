package io.upliftstream.tools.embedded;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The line, from what Flink's REST interface answers; MonitoringITCase has it from a real job. */
class JobProgressTest {
    private final Map<String, String> answers = new ConcurrentHashMap<>(Map.of(
            "/jobs/j", "{'vertices': [{'id': 'source'}, {'id': 'sink'}]}",
            "/jobs/j/metrics?get=numRestarts", "[{'id': 'numRestarts', 'value': '0'}]"));

    private HttpServer flink;
    private JobProgress progress;

    @BeforeEach
    void start() throws IOException {
        HttpLimits.set(); // this may be the first server of the process
        flink = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        flink.createContext("/", exchange -> {
            String question = exchange.getRequestURI().toString();
            String key = question.contains("/vertices/")
                    ? question.replaceFirst(".*/vertices/(\\w+)/.*[.](\\w+)$", "$1 $2")
                    : question;
            byte[] answer = answers.getOrDefault(key, "[]").replace('\'', '"').getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        flink.start();
        progress = new JobProgress(
                URI.create("http://127.0.0.1:" + flink.getAddress().getPort() + "/jobs/j"), "secret", "capture");
    }

    @AfterEach
    void stop() {
        flink.stop(0);
    }

    private void report(int in, int results) {
        answers.put(
                "source ageMicros_p95",
                """
                [{'id': 'dense_inference.frames.in', 'sum': %d.0, 'max': %d.0},
                 {'id': 'dense_inference.frames.results', 'sum': %d.0, 'max': 1.0},
                 {'id': 'dense_inference.frames.dropped', 'sum': 3.0, 'max': 3.0},
                 {'id': 'dense_inference.frames.failures', 'sum': 2.0, 'max': 1.0},
                 {'id': 'dense_inference.latency.ageMicros_median', 'sum': 700000.0, 'max': 400000.0},
                 {'id': 'dense_inference.latency.ageMicros_p95', 'sum': 2900000.0, 'max': 1500000.0}]
                """
                        .formatted(in, in, results));
    }

    @Test
    void sumsCountsAndTakesTheOldestAge() throws Exception {
        assertThat(progress.line()).isEqualTo("No figures yet …");
        report(10, 0);
        assertThat(progress.line())
                .as("no result, no age; no frame of a partition, no backlog")
                .isEqualTo("in 10 (0.0/s) · results 0 (0.0/s) · dropped 3 (0.0/s) · failures 2 (0.0/s)");
        report(12, 5);
        answers.put(
                "source pendingRecords", "[{'id': 'Source__camera_frames.pendingRecords', 'sum': 7.0, 'max': 4.0}]");
        assertThat(progress.line())
                .matches("in 12 \\([\\d.]*[1-9][\\d.]*/s\\) · results 5 .* · dropped 3 \\(0\\.0/s\\) · failures 2 .*"
                        + " \\| age of results since capture p50 0\\.4 p95 1\\.5 s \\| backlog 7");
    }

    @Test
    void saysThatTheJobStartedAgain() throws Exception {
        report(100, 90);
        progress.line();
        answers.put("/jobs/j/metrics?get=numRestarts", "[{'id': 'numRestarts', 'value': '2'}]");
        report(1, 0);
        assertThat(progress.line())
                .startsWith("in 1 (0.0/s) · results 0 (0.0/s)")
                .endsWith(" | started again: 2");
        answers.remove("source ageMicros_p95");
        assertThat(progress.line()).isEqualTo("Loading the model again …");
    }

    @Test
    void doesNotFailWithFlinksPage() throws Exception {
        flink.stop(0);
        assertThat(progress.line()).startsWith("Flink does not say how the job goes: ");
    }
}
