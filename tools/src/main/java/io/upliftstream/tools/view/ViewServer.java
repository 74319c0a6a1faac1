package io.upliftstream.tools.view;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.tools.picture.Planes;
import io.upliftstream.tools.picture.PrincipalColours;
import io.upliftstream.tools.stream.RecordKind;
import java.awt.Color;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Serves the page and what it draws. Browsers ask for the newest moments and wait for them ({@code /live?after=N}), so a
 * slow one just asks less often.
 *
 * <p>An answer is a little-endian u32, JSON of that many bytes, and the parts' bytes, one after another: each part says
 * in the JSON where it lies. Paths: {@code /}, {@code /labels}, {@code /live}, {@code /frame}, {@code /image},
 * {@code /statistics}.
 */
public final class ViewServer implements AutoCloseable {
    /** Where the page is, unless told otherwise. */
    public static final int PORT = 8090;

    private static final Logger LOG = LoggerFactory.getLogger(ViewServer.class);
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final String CAMERA = "camera=";
    private static final int MAX_REQUESTS = 256;
    private static final long KEPT_BYTES = 256L << 20;
    private static final float GOLDEN_RATIO = 0.618034f;
    /** Vectors of a head that its colours are fitted to. */
    private static final int COLOUR_SAMPLE = 8000;
    /** Of org.webjars.npm:uplot, whose files carry it in their path. */
    private static final String UPLOT_VERSION = "1.6.30";

    /** The content type and the resource of every page. */
    private static final Map<String, String> PAGES = new HashMap<>(Map.of(
            "/", "text/html; charset=utf-8 /view/index.html",
            "/style.css", "text/css; charset=utf-8 /view/style.css",
            "/uPlot.js", "text/javascript; charset=utf-8 /META-INF/resources/webjars/uplot/VERSION/dist/uPlot.esm.js",
            "/uPlot.css", "text/css; charset=utf-8 /META-INF/resources/webjars/uplot/VERSION/dist/uPlot.min.css"));

    static {
        for (String module : List.of("app", "cameras", "charts", "paint", "records", "state")) {
            PAGES.put("/" + module + ".js", "text/javascript; charset=utf-8 /view/" + module + ".js");
        }
        // Seconds after which the JDK's server gives up a browser that does not take its answer.
        System.setProperty("sun.net.httpserver.maxRspTime", "30");
        System.setProperty("sun.net.httpserver.nodelay", "true");
    }

    private final ObjectMapper json = new ObjectMapper();
    private final List<Label> labels;
    private final Board board = new Board(KEPT_BYTES);
    private final Statistics statistics = new Statistics();
    private final Feed feed;
    private final Archive archive;
    private final Map<String, PrincipalColours> colours = new ConcurrentHashMap<>();
    private final HttpServer server;
    private final ExecutorService requests;

    /**
     * Starts to serve.
     *
     * @param labels names and colours of the classes; may be empty
     * @param address where to listen; port 0 for any free one
     * @throws IOException if the address is taken
     */
    public ViewServer(JobSettings settings, List<Label> labels, InetSocketAddress address) throws IOException {
        this.labels = List.copyOf(labels);
        try {
            server = HttpServer.create(address, 0);
        } catch (IOException e) {
            throw new IOException(
                    "%s:%d cannot be listened on: %s (choose another --port)"
                            .formatted(address.getHostString(), address.getPort(), e.getMessage()),
                    e);
        }
        feed = new Feed(settings, board, statistics);
        archive = new Archive(settings);
        var pool = new ThreadPoolExecutor(4, MAX_REQUESTS, 30, TimeUnit.SECONDS, new SynchronousQueue<>(), task -> {
            Thread thread = new Thread(task, "view");
            thread.setDaemon(true);
            return thread;
        });
        requests = pool;
        server.setExecutor(pool);
        server.createContext("/", this::answer);
        feed.start();
        server.start();
    }

    /** Address of the page. */
    public URI page() {
        InetSocketAddress address = server.getAddress();
        String host = address.getAddress().isAnyLocalAddress() ? "localhost" : address.getHostString();
        return URI.create("http://" + host + ":" + address.getPort() + "/");
    }

    /** Shows the page in the user's browser, if there is one. */
    public void openBrowser() {
        boolean mac = System.getProperty("os.name", "").toLowerCase(Locale.ROOT).contains("mac");
        try {
            new ProcessBuilder(mac ? "open" : "xdg-open", page().toString())
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException e) {
            LOG.info("no browser here: {}", e.getMessage());
        }
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            Map<String, String> query = query(exchange.getRequestURI());
            String page = PAGES.get(exchange.getRequestURI().getPath());
            if (page != null) {
                sendPage(exchange, page);
                return;
            }
            switch (exchange.getRequestURI().getPath()) {
                case "/labels" -> sendJson(exchange, labels());
                case "/statistics" -> sendJson(exchange, statistics());
                case "/live" -> {
                    long after = Long.parseLong(query.getOrDefault("after", "0"));
                    // A page that outlived the server has seen numbers that are yet to come.
                    long seen = after > board.number() ? 0 : after;
                    List<Moment> moments = board.after(seen, cameras(exchange.getRequestURI()), PATIENCE);
                    send(exchange, moments, query);
                }
                case "/frame" -> send(exchange, moment(query).stream().toList(), query);
                case "/image" -> sendImage(exchange, query);
                default -> sendBytes(exchange, 404, "text/plain", "no such page\n".getBytes(StandardCharsets.UTF_8));
            }
        } catch (NumberFormatException e) {
            sendBytes(exchange, 400, "text/plain", (e.getMessage() + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            LOG.warn("{}", exchange.getRequestURI(), e);
            sendBytes(exchange, 500, "text/plain", (e + "\n").getBytes(StandardCharsets.UTF_8));
        }
    }

    private static Map<String, String> query(URI uri) {
        Map<String, String> query = new LinkedHashMap<>();
        if (uri.getRawQuery() != null) {
            for (String pair : uri.getRawQuery().split("&", -1)) {
                int equals = pair.indexOf('=');
                if (equals > 0) {
                    query.put(
                            pair.substring(0, equals),
                            URLDecoder.decode(pair.substring(equals + 1), StandardCharsets.UTF_8));
                }
            }
        }
        return query;
    }

    /** The cameras that a question names, each as {@code camera=NAME}. */
    private static Set<String> cameras(URI uri) {
        return Stream.of(Objects.requireNonNullElse(uri.getRawQuery(), "").split("&", -1))
                .filter(pair -> pair.startsWith(CAMERA))
                .map(pair -> URLDecoder.decode(pair.substring(CAMERA.length()), StandardCharsets.UTF_8))
                .collect(Collectors.toSet());
    }

    private Optional<Moment> moment(Map<String, String> query) {
        int partition = Integer.parseInt(query.getOrDefault("partition", ""));
        long offset = Long.parseLong(query.getOrDefault("offset", ""));
        return board.find(partition, offset).or(() -> {
            List<SpecificRecord> records = archive.records(partition, offset);
            return records.isEmpty()
                    ? Optional.empty()
                    : Optional.of(new Moment(0, RecordKind.header(records.get(0)), records));
        });
    }

    /** The bundle's, or the classes that the newest record names, in colours of their own. */
    private List<Map<String, Object>> labels() {
        List<Label> all = new ArrayList<>(labels);
        if (all.isEmpty()) {
            List<String> names = board.classNames();
            for (int id = 0; id < names.size(); id++) {
                all.add(new Label(id, names.get(id), Color.HSBtoRGB(id * GOLDEN_RATIO, 0.65f, 0.95f) & 0xffffff));
            }
        }
        return all.stream()
                .map(label -> Map.<String, Object>of(
                        "id", label.id(), "name", label.name(), "color", String.format("#%06x", label.rgb())))
                .toList();
    }

    private Map<String, Object> statistics() {
        Map<String, Object> about = statistics.about(System.currentTimeMillis() / 1000);
        about.put("connected", feed.connected());
        return about;
    }

    private void send(HttpExchange exchange, List<Moment> moments, Map<String, String> query) throws IOException {
        List<String> kinds = Arrays.asList(query.getOrDefault("want", "labels").split(","));
        List<Map<String, Object>> abouts = new ArrayList<>();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long newest = Long.parseLong(query.getOrDefault("after", "0"));
        if (newest > board.number()) {
            newest = 0;
        }
        for (Moment moment : moments) {
            newest = Math.max(newest, moment.number());
            Map<String, Object> about = moment.about();
            List<Map<String, Object>> parts = new ArrayList<>();
            for (Moment.Part part : moment.parts(kinds, this::colours)) {
                Map<String, Object> one = new LinkedHashMap<>(part.about());
                one.put("start", bytes.size());
                one.put("length", part.data().length);
                bytes.writeBytes(part.data());
                parts.add(one);
            }
            about.put("parts", parts);
            abouts.add(about);
        }
        byte[] head = json.writeValueAsBytes(Map.of("after", newest, "moments", abouts));
        ByteBuffer body = ByteBuffer.allocate(Integer.BYTES + head.length + bytes.size())
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(head.length)
                .put(head)
                .put(bytes.toByteArray());
        sendBytes(exchange, 200, "application/octet-stream", body.array());
    }

    /** Fitted once for each head, so that a colour keeps its meaning. */
    private PrincipalColours colours(FeatureRecord record) {
        return colours.computeIfAbsent(record.getName(), name -> {
            float[] values = Planes.of(record.getTensor());
            int channels = Planes.channels(record.getTensor());
            int cells = values.length / channels;
            int thin = Math.max(1, cells / COLOUR_SAMPLE);
            int kept = cells / thin;
            float[] sample = new float[channels * kept];
            for (int c = 0; c < channels; c++) {
                for (int i = 0; i < kept; i++) {
                    sample[c * kept + i] = values[c * cells + i * thin];
                }
            }
            return new PrincipalColours(List.of(sample), channels);
        });
    }

    private void sendImage(HttpExchange exchange, Map<String, String> query) throws IOException {
        Optional<byte[]> image = moment(query).flatMap(moment -> archive.image(moment.source()));
        if (image.isPresent()) {
            exchange.getResponseHeaders().set("Cache-Control", "private, max-age=600");
            boolean png = image.get().length > 1 && image.get()[1] == 'P';
            sendBytes(exchange, 200, png ? "image/png" : "image/jpeg", image.get());
        } else {
            sendBytes(exchange, 204, "text/plain", new byte[0]); // the page goes without: no error in its console
        }
    }

    private static void sendPage(HttpExchange exchange, String page) throws IOException {
        int split = page.lastIndexOf(' ');
        String path = page.substring(split + 1).replace("VERSION", UPLOT_VERSION);
        try (InputStream in = ViewServer.class.getResourceAsStream(path)) {
            if (in == null) {
                throw new IllegalStateException(path + " is not on the class path");
            }
            sendBytes(exchange, 200, page.substring(0, split), in.readAllBytes());
        }
    }

    private void sendJson(HttpExchange exchange, Object value) throws IOException {
        sendBytes(exchange, 200, "application/json", json.writeValueAsBytes(value));
    }

    private static void sendBytes(HttpExchange exchange, int status, String type, byte[] body) throws IOException {
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
        if (!exchange.getResponseHeaders().containsKey("Cache-Control")) {
            exchange.getResponseHeaders().set("Cache-Control", "no-store");
        }
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(body);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        requests.shutdownNow();
        feed.close();
        archive.close();
    }
}
