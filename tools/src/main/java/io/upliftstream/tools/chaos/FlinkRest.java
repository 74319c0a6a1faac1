package io.upliftstream.tools.chaos;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.tools.embedded.RestGuard;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What {@code flink run}, {@code stop} and {@code list} do, through the REST interface of a JobManager: of several, any that
 * answers.
 */
public final class FlinkRest {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    /** For questions that are asked again and again, and that a JobManager which is paused does not answer. */
    private static final Duration SOON = Duration.ofSeconds(3);

    private static final long POLL_MILLIS = 100;
    private static final JsonMapper JSON = new JsonMapper();

    private final HttpClient client =
            HttpClient.newBuilder().connectTimeout(SOON).build();
    private final List<URI> addresses;
    private final String secret;
    private final String jar;

    /**
     * Asks nothing yet.
     *
     * @param secret of the guard before the interface
     * @param jar name of the job's jar in the JobManager's upload directory
     */
    FlinkRest(List<URI> addresses, String secret, String jar) {
        this.addresses = addresses;
        this.secret = secret;
        this.jar = jar;
    }

    /** Where the JobManagers are asked. */
    String addresses() {
        return addresses.stream().map(URI::getAuthority).collect(Collectors.joining(","));
    }

    /**
     * Starts a job and returns its id.
     *
     * @param arguments of its main method
     * @param savepoint to start from; null for none
     */
    public String run(List<String> arguments, @Nullable String savepoint) throws IOException, InterruptedException {
        return run(DenseVisionJob.class.getName(), arguments, savepoint);
    }

    /** The same with another main class of the jar. */
    public String run(String main, List<String> arguments, @Nullable String savepoint)
            throws IOException, InterruptedException {
        Map<String, Object> body = new TreeMap<>(Map.of("entryClass", main, "programArgsList", arguments));
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
        send("/jobs/" + job, TIMEOUT, request -> request.method("PATCH", BodyPublishers.noBody()));
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
            List<String> states = soon("/jobs/" + job).path("vertices").findValuesAsText("status");
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
            return soon("/overview").path("taskmanagers").asInt();
        } catch (IOException e) {
            return 0;
        }
    }

    /** What names the newest complete checkpoint of a job: another text after each; empty while no JobManager answers. */
    String checkpoint(String job) throws InterruptedException {
        try {
            return soon("/jobs/" + job + "/checkpoints")
                    .path("latest")
                    .path("completed")
                    .path("external_path")
                    .asText();
        } catch (IOException e) {
            return "";
        }
    }

    /** The answer to a question, such as {@code /jobs}. */
    public JsonNode get(String path) throws IOException, InterruptedException {
        return send(path, TIMEOUT, request -> request);
    }

    private JsonNode soon(String path) throws IOException, InterruptedException {
        return send(path, SOON, request -> request);
    }

    private JsonNode post(String path, Object body) throws IOException, InterruptedException {
        String json = JSON.writeValueAsString(body);
        return send(path, TIMEOUT, request -> request.header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(json)));
    }

    /** Of several JobManagers one that is away is passed over; what changes something is not asked twice. */
    private JsonNode send(String path, Duration timeout, UnaryOperator<HttpRequest.Builder> method)
            throws IOException, InterruptedException {
        IOException failure = new IOException("no JobManager answered");
        for (URI address : addresses) {
            HttpRequest request = method.apply(HttpRequest.newBuilder(address.resolve(path))
                            .timeout(timeout)
                            .header(RestGuard.HEADER, secret))
                    .build();
            boolean asks = request.method().equals("GET");
            try {
                HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
                if (response.statusCode() < 300) {
                    return response.body().isEmpty() ? JSON.nullNode() : JSON.readTree(response.body());
                }
                failure = new IOException("%s: %d %s"
                        .formatted(
                                response.uri(),
                                response.statusCode(),
                                response.body().strip()));
            } catch (ConnectException e) {
                failure = e;
                continue;
            } catch (IOException e) {
                failure = e;
            }
            if (!asks) {
                break;
            }
        }
        throw failure;
    }
}
