package io.upliftstream.tools;

import static java.util.concurrent.TimeUnit.MINUTES;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.net.httpserver.HttpServer;
import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.SyntheticCamera;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.embedded.JobProgress;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What {@code deploy/monitoring} and {@code docs/operations.md} ask of a job is there in one that runs. */
class MonitoringITCase {
    private static final Path MONITORING = Path.of("..", "deploy", "monitoring");
    private static final Pattern METRIC = Pattern.compile("flink_\\w*[A-Za-z0-9](?!\\w)");

    @Test
    @Timeout(value = 5, unit = MINUTES)
    void aRunningJobHasEveryMetricOfTheDashboardAndTheAlerts(@TempDir Path claims) throws Exception {
        Set<String> asked = new TreeSet<>();
        for (Path file : new Path[] {
            MONITORING.resolve("alerts.yml"),
            MONITORING.resolve("grafana/uplift-stream.json"),
            Path.of("..", "docs", "operations.md")
        }) {
            Set<String> found = metrics(Files.readString(file));
            assertThat(found).as(file.toString()).isNotEmpty();
            asked.addAll(found);
        }
        int port = freePort();
        HttpServer registry = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        registry.createContext("/", exchange -> {
            byte[] answer = "{\"id\": 7}".getBytes(StandardCharsets.US_ASCII);
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        registry.start();
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                SyntheticCamera street = new SyntheticCamera("street", 20_300, 160, 96, 10, 0.9)) {
            Topics topics = Topics.create(kafka, "monitoring", 1, 1 << 20);
            byte[] image = street.next().image();
            topics.send(0, "東口/lobby-1 \"a\"", image); // a bare image: captured when recorded, just now
            topics.send(
                    0, "old", SingleObject.encode(Topics.frame("old", 1, image).build()));
            topics.send(0, "broken", new byte[] {1, 2, 3});
            JobSettings settings = topics.settings(
                    "uplift.mode=live",
                    "uplift.age-from=capture",
                    "uplift.max-age=10 min",
                    "uplift.input.start=earliest",
                    "uplift.input.stop=never",
                    "uplift.schema-registry.url=http://127.0.0.1:"
                            + registry.getAddress().getPort(),
                    "uplift.output.claim-check.directory=" + claims.toUri());
            Configuration configuration = settings.flinkConfiguration();
            EmbeddedFlink.reportMetrics(configuration, "127.0.0.1", port);
            try (EmbeddedFlink flink = new EmbeddedFlink(configuration, 1)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(env, settings);
                EmbeddedFlink.Job job = flink.submit(env);
                job.awaitRunning();
                String metrics = scrape(port);
                while (!(counts(metrics, "frames_results")
                        && counts(metrics, "frames_failures")
                        && counts(metrics, "frames_camera_reason_dropped"))) {
                    job.throwIfEnded();
                    metrics = scrape(port);
                }
                assertThat(metrics(metrics)).containsAll(asked);
                assertThat(metrics)
                        .containsPattern("frames_camera_results\\{[^}]*camera=\"東口/lobby-1 \\\\\"a\\\\\"\"")
                        .containsPattern(
                                "frames_camera_reason_dropped\\{(?=[^}]*camera=\"old\")[^}]*reason=\"MAX_AGE\"")
                        .containsPattern("model_sha256_variant_info\\{[^}]*sha256=\"[0-9a-f]{64}\"");
                JobProgress progress = job.progress(ServingOptions.AgeFrom.RECORD);
                String line = progress.line();
                while (!line.contains("results 1 ") || !line.contains("dropped 1 ")) { // figures of a second ago
                    job.throwIfEnded();
                    line = progress.line();
                }
                assertThat(line)
                        .containsPattern("^in 3 \\(\\d+\\.\\d/s\\) · results 1 .* · dropped 1 .* · failures 1 ")
                        .containsPattern(
                                " \\| age of results since record p50 \\d+\\.\\d p95 \\d+\\.\\d s \\| backlog 0$");
            }
        } finally {
            registry.stop(0);
        }
    }

    @Test
    void everyAlertFiresInItsTest() throws Exception {
        assumeTrue(
                Stream.of(System.getenv("PATH").split(File.pathSeparator, -1))
                        .anyMatch(directory -> Files.isExecutable(Path.of(directory, "promtool"))),
                "no promtool on the PATH (Debian's package prometheus has it): the alerts' tests do not run");
        promtool("check", "config", "prometheus.yml");
        promtool("test", "rules", "alerts.test.yml");
        String alerts = Files.readString(MONITORING.resolve("alerts.yml"));
        String tests = Files.readString(MONITORING.resolve("alerts.test.yml"));
        String runbooks = Files.readString(Path.of("..", "docs", "alerts.md"));
        assertThat(Pattern.compile("alert: (\\w+)").matcher(alerts).results().map(match -> match.group(1)))
                .isNotEmpty()
                .allSatisfy(alert -> assertThat(tests)
                        .containsPattern("alertname: " + alert + "\n +eval_time: \\S+\n +exp_alerts:\n +- exp_labels"))
                .allSatisfy(alert -> assertThat(runbooks).contains("## " + alert + "\n"));
        String healthy = tests.substring(0, tests.indexOf("promql_expr_test"));
        assertThat(healthy).contains("a healthy job");
        assertThat(metrics(healthy)).containsAll(metrics(alerts));
    }

    private static void promtool(String... arguments) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(Stream.concat(Stream.of("promtool"), Stream.of(arguments))
                        .toList())
                .directory(MONITORING.toFile())
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(output).isZero();
    }

    /** The names of metrics in a text. */
    private static Set<String> metrics(String text) {
        Set<String> names = new TreeSet<>();
        METRIC.matcher(text).results().forEach(match -> names.add(match.group()));
        return names;
    }

    private static boolean counts(String metrics, String name) {
        return Pattern.compile("_" + name + "\\{[^}]*} [1-9]").matcher(metrics).find();
    }

    private static String scrape(int port) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/metrics"))
                .build();
        return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
