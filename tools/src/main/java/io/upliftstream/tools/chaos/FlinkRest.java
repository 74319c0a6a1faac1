package io.upliftstream.tools.chaos;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.embedded.RestGuard;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** What {@code flink run}, {@code stop} and {@code list} do, through a JobManager's REST interface. */
public final class FlinkRest {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    private static final long POLL_MILLIS = 100;
    private static final JsonMapper JSON = new JsonMapper();

    private final HttpClient client =
            HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final URI address;
    private final String secret;
    private final String jar;

    /**
     * Asks nothing yet.
     *
     * @param secret of the guard before the interface
     * @param jar name of the job's jar in the JobManager's upload directory
     */
    FlinkRest(URI address, String secret, String jar) {
        this.address = address;
        this.secret = secret;
        this.jar = jar;
    }

    /**
     * Starts a job and returns its id.
     *
     * @param arguments of its main method
     * @param savepoint to start from; null for none
     */
    public String run(List<String> arguments, @Nullable String savepoint) throws IOException, InterruptedException {
        Map<String, Object> body = new TreeMap<>(Map.of("programArgsList", arguments));
        if (savepoint != null) {
            body.put("savepointPath", savepoint);
        }
        return post("/jars/" + jar + "/run", body).path("jobid").asText();
    }

    /** Stops a job with a savepoint and returns where that is. */
    public String stopWithSavepoint(String job, URI directory) throws IOException, InterruptedException {
        String request = post("/jobs/" + job + "/stop", Map.of("targetDirectory", directory.toString(), "drain", false))
                .path("request-id")
                .asText();
        while (true) {
            JsonNode status = get("/jobs/" + job + "/savepoints/" + request);
            if (status.path("status").path("id").asText().equals("COMPLETED")) {
                JsonNode operation = status.path("operation");
                if (!operation.hasNonNull("location")) {
                    throw new IOException("no savepoint: " + operation);
                }
                awaitState(job, "FINISHED");
                return operation.path("location").asText();
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** Ends a job without a savepoint. */
    public void cancel(String job) throws IOException, InterruptedException {
        send(HttpRequest.newBuilder(address.resolve("/jobs/" + job)).method("PATCH", BodyPublishers.noBody()));
        awaitState(job, "CANCELED");
    }

    /**
     * Waits for a state such as RUNNING.
     *
     * @throws IOException if the job has failed
     */
    public void awaitState(String job, String expected) throws IOException, InterruptedException {
        while (true) {
            String state = get("/jobs/" + job).path("state").asText();
            if (state.equals(expected)) {
                return;
            }
            if (state.equals("FAILED")) {
                throw new IOException("the job failed: "
                        + get("/jobs/" + job + "/exceptions")
                                .path("root-exception")
                                .asText());
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** Whether all tasks of a job run; false while no JobManager answers. */
    boolean running(String job) throws InterruptedException {
        try {
            List<String> states = get("/jobs/" + job).path("vertices").findValuesAsText("status");
            return !states.isEmpty() && states.stream().allMatch("RUNNING"::equals);
        } catch (IOException e) {
            return false;
        }
    }

    /** The jobs and their states, as Flink words it; the reason where no JobManager answers. */
    String jobs() throws InterruptedException {
        try {
            return get("/jobs").path("jobs").toString();
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** How many TaskManagers have registered; 0 while no JobManager answers. */
    int taskManagers() throws InterruptedException {
        try {
            return get("/overview").path("taskmanagers").asInt();
        } catch (IOException e) {
            return 0;
        }
    }

    private JsonNode get(String path) throws IOException, InterruptedException {
        return send(HttpRequest.newBuilder(address.resolve(path)));
    }

    private JsonNode post(String path, Object body) throws IOException, InterruptedException {
        return send(HttpRequest.newBuilder(address.resolve(path))
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(JSON.writeValueAsString(body))));
    }

    private JsonNode send(HttpRequest.Builder request) throws IOException, InterruptedException {
        var response = client.send(
                request.timeout(TIMEOUT).header(RestGuard.HEADER, secret).build(), BodyHandlers.ofString());
        if (response.statusCode() >= 300) {
            throw new IOException("%s: %d %s"
                    .formatted(
                            response.uri(),
                            response.statusCode(),
                            response.body().strip()));
        }
        return response.body().isEmpty() ? JSON.nullNode() : JSON.readTree(response.body());
    }
}
