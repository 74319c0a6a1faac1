package io.upliftstream.schemas;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.schemas.RegistryException.Reason;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.SSLContext;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * A schema registry with Confluent's REST interface, such as Confluent's own or Apicurio's.
 *
 * <p>The schema of an id never changes, so it is asked for once. That there is none, or no registry, is remembered for
 * {@value #REMEMBERED_SECONDS} seconds. An answer has a largest size and a latest time, and a redirect is not followed, so
 * that nobody but the host of the URL is asked. Safe for use by many threads.
 */
@NullMarked
public final class SchemaRegistry {
    /** What {@link #isUrl} asks for, in words. */
    public static final String URL =
            "one URL, without a user or a query, whose host name has no underscore, such as http://registry:8081";

    private static final int REMEMBERED_SECONDS = 10;

    /** Bytes of an answer. */
    private static final int MAX_ANSWER = 1 << 20;

    /** Characters of a schema; the largest of ours has 6,000. */
    private static final int MAX_SCHEMA = 1 << 18;

    /** How often an id is asked for once more where it may be too new for a follower among several registries. */
    private static final int MORE_TIMES = 2;

    private static final int MAX_IDS = 1000;
    private static final int MAX_QUOTED = 300;
    private static final String JSON = "application/vnd.schemaregistry.v1+json";
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final HttpClient client;
    private final String url;
    private final Duration timeout;
    private final @Nullable String authorization;
    private final ScheduledThreadPoolExecutor deadlines;
    private final Map<Integer, Answer> answers = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Integer, Answer> eldest) {
            return size() > MAX_IDS;
        }
    };

    private final AtomicLong requests = new AtomicLong();
    private final AtomicLong failures = new AtomicLong();

    /** The last time that no answer came, if it was not long ago. */
    private @Nullable Answer away;

    /** Whether the registry has answered: then one that forbids an id takes the log-in, and means this id. */
    private volatile boolean letIn;

    private record Answer(CompletableFuture<Schema> schema, long nanoTime) {
        boolean holds() {
            return !schema.isCompletedExceptionally()
                    || System.nanoTime() - nanoTime < TimeUnit.SECONDS.toNanos(REMEMBERED_SECONDS);
        }
    }

    /**
     * Asks nothing yet.
     *
     * @param url what the paths of the interface, such as {@code /subjects}, are put behind
     * @param timeout of a whole answer
     * @param authorization the header of that name, {@link #basic} or {@link #bearer}; null for none
     * @param tls whom to trust, and as whom to come, if the URL is of https; null for what the JDK is told
     */
    public SchemaRegistry(URI url, Duration timeout, @Nullable String authorization, @Nullable SSLContext tls) {
        this.url = url.toString().replaceAll("/+$", "");
        this.timeout = timeout;
        this.authorization = authorization;
        HttpClient.Builder builder = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER)
                .connectTimeout(timeout);
        // Its thread ends when it has had nothing to do for a while, as those of the client do.
        deadlines = new ScheduledThreadPoolExecutor(1, task -> {
            Thread thread = new Thread(task, "schema registry");
            thread.setDaemon(true);
            return thread;
        });
        deadlines.setKeepAliveTime(REMEMBERED_SECONDS, TimeUnit.SECONDS);
        deadlines.allowCoreThreadTimeOut(true);
        deadlines.setRemoveOnCancelPolicy(true);
        client = (tls == null ? builder : builder.sslContext(tls)).build();
    }

    /** Whether a client can be made for a text; the JDK's asks no host whose name is none by the rules of URIs. */
    public static boolean isUrl(String text) {
        try {
            return text.matches("https?://[^/\\s@?#]+(/[^\\s@?#]*)?")
                    && URI.create(text).getHost() != null;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    /** The header for a user and a password. */
    public static String basic(String user, String password) {
        return "Basic " + Base64.getEncoder().encodeToString((user + ":" + password).getBytes(UTF_8));
    }

    /** The header for a token. */
    public static String bearer(String token) {
        return "Bearer " + token;
    }

    /**
     * The id of a schema, which is registered under the subject if it is not yet.
     *
     * @throws RegistryException if the registry does not take it, or is not there
     */
    public int register(String subject, Schema schema) {
        return id(subject, "/versions", schema);
    }

    /**
     * The id of a schema that somebody registered under the subject.
     *
     * @throws RegistryException if nobody did, or the registry is not there
     */
    public int lookUp(String subject, Schema schema) {
        return id(subject, "", schema);
    }

    private int id(String subject, String path, Schema schema) {
        String what = "schema %s of subject %s".formatted(schema.getName(), subject);
        String body = MAPPER.createObjectNode().put("schema", schema.toString()).toString();
        HttpRequest.Builder request = request(
                        "/subjects/" + URLEncoder.encode(subject, UTF_8).replace("+", "%20") + path)
                .header("Content-Type", JSON)
                .POST(HttpRequest.BodyPublishers.ofString(body));
        JsonNode id = join(send(what, request)).path("id");
        if (!id.isInt()) {
            throw new RegistryException(
                    Reason.UNUSABLE, "%s: %s answered without an id (expected: id, a number)".formatted(what, url));
        }
        return id.intValue();
    }

    /**
     * The schema of an id.
     *
     * @throws RegistryException if the registry has none that can be used, or is not there
     */
    public Schema schema(int id) {
        return join(request(id));
    }

    /** The same without waiting for it; the future fails with a {@link RegistryException}, perhaps wrapped. */
    public CompletableFuture<Schema> request(int id) {
        return request(id, false);
    }

    /** The same; a patient caller has an id that is unknown asked for twice more, a second apart, the first time. */
    public synchronized CompletableFuture<Schema> request(int id, boolean patient) {
        if (id < 0) { // no registry gives such; asked for it, some answer as if they were not there
            return CompletableFuture.failedFuture(new RegistryException(
                    Reason.UNKNOWN,
                    "schema id %s (expected: at most %d)".formatted(Integer.toUnsignedString(id), Integer.MAX_VALUE)));
        }
        Answer known = answers.get(id);
        if (known != null && known.holds()) {
            return known.schema;
        }
        if (away != null && away.holds()) {
            return away.schema;
        }
        String what = "schema id " + id;
        HttpRequest.Builder request = request("/schemas/ids/" + id).GET();
        CompletableFuture<Schema> asked = send(what, request, patient && known == null ? MORE_TIMES : 0)
                .thenApply(answer -> schema(what, answer));
        Answer answer = new Answer(asked, System.nanoTime());
        answers.put(id, answer);
        CompletableFuture<?> unused = asked.whenComplete((schema, failure) -> {
            if (failure != null && cause(failure).mayPass()) {
                forget(id, answer);
            }
        });
        return asked;
    }

    /** That nobody answers is not about this id. */
    private synchronized void forget(int id, Answer answer) {
        answers.remove(id, answer);
        away = new Answer(answer.schema, System.nanoTime());
    }

    private Schema schema(String what, JsonNode answer) {
        String type = answer.path("schemaType").asText("AVRO");
        if (!type.equals("AVRO") || !answer.path("references").isEmpty()) {
            throw new RegistryException(
                    Reason.UNUSABLE,
                    "%s: %s (expected: an Avro schema that is complete in itself)"
                            .formatted(what, type.equals("AVRO") ? "one with references" : bounded(type)));
        }
        String text = answer.path("schema").asText();
        if (text.isEmpty() || text.length() > MAX_SCHEMA) {
            throw new RegistryException(
                    Reason.UNUSABLE,
                    "%s: %d characters (expected: 1 to %d)".formatted(what, text.length(), MAX_SCHEMA));
        }
        try {
            return new Schema.Parser().parse(text);
        } catch (AvroRuntimeException | StackOverflowError e) {
            throw new RegistryException(
                    Reason.UNUSABLE,
                    "%s: no Avro schema: %s (expected: one)".formatted(what, bounded(String.valueOf(e.getMessage()))),
                    e);
        }
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder request =
                HttpRequest.newBuilder(URI.create(url + path)).timeout(timeout).header("Accept", JSON);
        return authorization == null ? request : request.header("Authorization", authorization);
    }

    private CompletableFuture<JsonNode> send(String what, HttpRequest.Builder request, int moreTimes) {
        CompletableFuture<JsonNode> answer = send(what, request);
        return moreTimes == 0
                ? answer
                : answer.exceptionallyCompose(failure -> {
                    if (cause(failure).reason() != Reason.UNKNOWN) {
                        return CompletableFuture.failedFuture(failure);
                    }
                    CompletableFuture<Void> later = new CompletableFuture<>();
                    ScheduledFuture<?> unused = deadlines.schedule(() -> later.complete(null), 1, TimeUnit.SECONDS);
                    return later.thenCompose(passed -> send(what, request, moreTimes - 1));
                });
    }

    /** The answer, if it is one of success; else the future fails with a {@link RegistryException}. */
    private CompletableFuture<JsonNode> send(String what, HttpRequest.Builder request) {
        requests.incrementAndGet();
        CompletableFuture<HttpResponse<byte[]>> sent =
                client.sendAsync(request.build(), info -> new BoundedBody(MAX_ANSWER));
        CompletableFuture<HttpResponse<byte[]>> inTime = sent.copy();
        ScheduledFuture<?> late = deadlines.schedule( // the request's own ends with the headers
                () -> inTime.completeExceptionally(new TimeoutException()), timeout.toMillis(), TimeUnit.MILLISECONDS);
        return inTime.handle((response, failure) -> {
            late.cancel(false);
            if (failure != null) {
                sent.cancel(true);
                throw counted(unanswered(what, failure));
            }
            try {
                return answer(what, response);
            } catch (RegistryException e) {
                throw counted(e);
            }
        });
    }

    private RegistryException counted(RegistryException failure) {
        if (failure.mayPass()) {
            failures.incrementAndGet();
        }
        return failure;
    }

    /** Requests that were sent. */
    public long requests() {
        return requests.get();
    }

    /** Requests that the registry did not answer, or refused to: those that may be answered at another time. */
    public long failures() {
        return failures.get();
    }

    private RegistryException unanswered(String what, Throwable failure) {
        Throwable cause = unwrapped(failure);
        if (cause instanceof BoundedBody.TooLargeException) {
            return new RegistryException(
                    Reason.UNUSABLE,
                    "%s: more than %d bytes from %s (expected: an answer of a schema registry)"
                            .formatted(what, MAX_ANSWER, url));
        }
        boolean late = cause instanceof TimeoutException || cause instanceof java.net.http.HttpTimeoutException;
        String found = late
                ? "no answer from %s within %d ms".formatted(url, timeout.toMillis())
                : cause instanceof ConnectException
                        ? "no connection to " + url
                        : "no answer from %s: %s".formatted(url, bounded(String.valueOf(cause.getMessage())));
        return new RegistryException(
                Reason.AWAY, "%s: %s (expected: a schema registry there)".formatted(what, found), cause);
    }

    private JsonNode answer(String what, HttpResponse<byte[]> response) {
        int status = response.statusCode();
        JsonNode answer;
        try {
            answer = MAPPER.readTree(response.body());
        } catch (IOException e) {
            answer = MAPPER.missingNode();
        }
        if (status == 200 && answer.isObject()) {
            letIn = true;
            return answer;
        }
        int code = answer.path("error_code").asInt(); // 0 where not the registry speaks, but a proxy
        String said = answer.path("message").asText("");
        String found = "%s: %d from %s%s".formatted(what, status, url, said.isEmpty() ? "" : ", " + bounded(said));
        throw switch (status) {
            case 401, 403 ->
                new RegistryException(
                        status == 403 && letIn && code != 0 ? Reason.UNUSABLE : Reason.REFUSED,
                        found + " (expected: a user and password, or a token, that may do this)");
            case 404 ->
                code / 100 == 404 // 40401 of a subject, 40403 of a schema
                        ? new RegistryException(Reason.UNKNOWN, found + " (expected: one that is registered there)")
                        : new RegistryException(Reason.AWAY, found + " (expected: a schema registry at that path)");
            case 409 ->
                new RegistryException(
                        Reason.INCOMPATIBLE, found + " (expected: one that the subject's compatibility allows)");
            default ->
                status == 429 || status >= 500
                        ? new RegistryException(Reason.AWAY, found + " (expected: a registry that is well)")
                        : new RegistryException(
                                Reason.UNUSABLE, found + " (expected: 200 and JSON, from the registry itself)");
        };
    }

    private static <T> T join(CompletableFuture<T> answer) {
        try {
            return answer.join();
        } catch (CompletionException e) {
            throw cause(e);
        }
    }

    /** Why a future of this class failed. */
    public static RegistryException cause(Throwable failure) {
        Throwable cause = unwrapped(failure);
        return cause instanceof RegistryException known
                ? known
                : new RegistryException(Reason.UNUSABLE, "schema registry: " + cause + " (expected: an answer)", cause);
    }

    private static Throwable unwrapped(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    /** What somebody else said, in one short line. */
    static String bounded(String text) {
        String line = text.replaceAll("[\\p{Cntrl}\\s]+", " ").strip();
        return line.length() <= MAX_QUOTED ? line : line.substring(0, MAX_QUOTED) + "…";
    }
}
