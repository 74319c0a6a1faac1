package io.upliftstream.tools.embedded;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.stream.Rate;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * How a job goes, in one line, from the metrics that it reports anyway (docs/operations.md); asked of Flink's REST
 * interface. Flink counts anew when a job starts again after a failure, and so do these totals.
 */
public final class JobProgress {
    private static final Duration TIMEOUT = Duration.ofSeconds(5);
    private static final JsonMapper JSON = new JsonMapper();

    private static final String FRAMES = "dense_inference.frames.";
    private static final String AGE = "dense_inference.latency.ageMicros_";
    private static final String BACKLOG = "Source__camera_frames.pendingRecords";

    /** Flink gives no answer at all if it does not know one of the metrics, and the backlog comes with the first frame. */
    private static final List<String> QUESTIONS = List.of(
            String.join(
                    ",",
                    FRAMES + "in",
                    FRAMES + "results",
                    FRAMES + "dropped",
                    FRAMES + "failures",
                    AGE + "median",
                    AGE + "p95"),
            BACKLOG);

    private final HttpClient client =
            HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final URI job;
    private final String secret;
    private final String ageFrom;
    private final Map<String, Rate> rates = new HashMap<>();

    /**
     * Asks nothing yet.
     *
     * @param job its address in Flink's REST interface
     * @param secret of the {@link RestGuard} before it
     * @param ageFrom what the age of a result is counted from, in words
     */
    JobProgress(URI job, String secret, String ageFrom) {
        this.job = job;
        this.secret = secret;
        this.ageFrom = ageFrom;
    }

    /**
     * The line. Flink asks the tasks when it is asked itself, so figures are those of the last question, a second old or
     * so, and the first ones come with the second question.
     */
    public String line() throws InterruptedException {
        Map<String, JsonNode> metrics;
        int restarts;
        try {
            restarts = ask("/metrics?get=numRestarts").path(0).path("value").asInt();
            metrics = metrics();
        } catch (IOException e) {
            return "Flink does not say how the job goes: " + e;
        }
        if (!metrics.containsKey(FRAMES + "in")) {
            return restarts == 0 ? "No figures yet …" : "Loading the model again …";
        }
        String line = List.of("in", "results", "dropped", "failures").stream()
                .map(outcome -> count(outcome, metrics))
                .collect(Collectors.joining(" · "));
        if (value(metrics, FRAMES + "results", "sum") > 0) {
            line += String.format(
                    Locale.ROOT,
                    " | age of results since %s p50 %.1f p95 %.1f s",
                    ageFrom,
                    value(metrics, AGE + "median", "max") / 1e6,
                    value(metrics, AGE + "p95", "max") / 1e6);
        }
        if (metrics.containsKey(BACKLOG)) {
            line += " | backlog " + Math.round(value(metrics, BACKLOG, "sum"));
        }
        return restarts == 0 ? line : line + " | started again: " + restarts;
    }

    /** Frames that were read since the job last started, a second ago or so. */
    public long framesIn() throws IOException, InterruptedException {
        return Math.round(value(metrics(), FRAMES + "in", "sum"));
    }

    private Map<String, JsonNode> metrics() throws IOException, InterruptedException {
        Map<String, JsonNode> metrics = new HashMap<>();
        for (JsonNode vertex : ask("").path("vertices")) {
            String ask = "/vertices/" + vertex.path("id").asText() + "/subtasks/metrics?agg=sum,max&get=";
            for (String names : QUESTIONS) {
                ask(ask + names).forEach(metric -> metrics.put(metric.path("id").asText(), metric));
            }
        }
        return metrics;
    }

    private JsonNode ask(String question) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(job + question))
                .timeout(TIMEOUT)
                .header(RestGuard.HEADER, secret)
                .build();
        return JSON.readTree(client.send(request, BodyHandlers.ofString()).body());
    }

    private String count(String outcome, Map<String, JsonNode> metrics) {
        long total = Math.round(value(metrics, FRAMES + outcome, "sum"));
        return String.format(
                Locale.ROOT,
                "%s %d (%.1f/s)",
                outcome,
                total,
                rates.computeIfAbsent(outcome, name -> new Rate()).perSecond(total));
    }

    private static double value(Map<String, JsonNode> metrics, String name, String aggregate) {
        JsonNode metric = metrics.get(name);
        return metric == null ? 0 : metric.path(aggregate).asDouble();
    }
}
