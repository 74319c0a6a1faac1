package io.upliftstream.tools.view;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.embedded.HttpLimits;
import io.upliftstream.tools.stream.Classes;
import io.upliftstream.tools.stream.HeadColours;
import io.upliftstream.tools.stream.RecordKind;
import java.awt.Dimension;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
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
    /** A thread for every question that is answered, and some for those that are still read. */
    private static final int MAX_THREADS = 3 * Door.MAX_QUESTIONS;

    private static final long KEPT_BYTES =
            Math.min(256L << 20, Runtime.getRuntime().maxMemory() / 8);
    /** The most bytes of the parts in one answer. */
    private static final long MAX_ANSWER =
            Math.min(64L << 20, Runtime.getRuntime().maxMemory() / 16);

    /** The version of org.webjars.npm:uplot, which its files have in their path. */
    private static final String UPLOT_VERSION = "1.6.30";

    /** The content type and the resource of every page. */
    private static final Map<String, String> PAGES = new HashMap<>(Map.of(
            "/", "text/html; charset=utf-8 /view/index.html",
            "/style.css", "text/css; charset=utf-8 /view/style.css",
            "/uPlot.js", "text/javascript; charset=utf-8 /META-INF/resources/webjars/uplot/VERSION/dist/uPlot.esm.js",
            "/uPlot.css", "text/css; charset=utf-8 /META-INF/resources/webjars/uplot/VERSION/dist/uPlot.min.css"));

    static {
        for (String module : List.of("app", "cameras", "charts", "legend", "paint", "records", "state")) {
            PAGES.put("/" + module + ".js", "text/javascript; charset=utf-8 /view/" + module + ".js");
        }
        HttpLimits.set();
    }

    private final ObjectMapper json = new ObjectMapper();
    private final Classes classes;
    private final Board board = new Board(KEPT_BYTES, System.currentTimeMillis() * 1000);
    private final PartCache made = new PartCache(KEPT_BYTES / 2);
    /** Answers are built one at a time, so that what is decoded meanwhile takes its memory once. */
    private final Object building = new Object();

    private final Statistics statistics = new Statistics();
    private final String broker;
    private final Feed feed;
    private final Archive archive;
    private final Door door;
    private final HeadColours colours = new HeadColours();
    private final HttpServer server;
    private final ExecutorService requests;

    /** As {@link #ViewServer(JobSettings, List, String, InetSocketAddress, Collection)}, under no more names. */
    public ViewServer(JobSettings settings, List<Label> labels, String model, InetSocketAddress address)
            throws IOException {
        this(settings, labels, model, address, List.of());
    }

    /**
     * Starts to serve.
     *
     * @param labels the bundle's; may be empty. Records may be of another model, and name their classes themselves
     * @param model the bundle's SHA-256; may be empty
     * @param address where to listen; port 0 for any free one
     * @param names under which browsers may ask, beside the address's and those of the loopback address
     * @throws IOException if the address is taken
     */
    public ViewServer(
            JobSettings settings, List<Label> labels, String model, InetSocketAddress address, Collection<String> names)
            throws IOException {
        classes = new Classes(labels, model);
        List<String> all = new ArrayList<>(names);
        all.add(address.getHostString());
        door = new Door(all);
        try {
            server = HttpServer.create(address, 0);
        } catch (IOException e) {
            throw new IOException(
                    "%s:%d cannot be listened on: %s (expected: an address of this machine, --host, and a port that is free, --port)"
                            .formatted(address.getHostString(), address.getPort(), e.getMessage()),
                    e);
        }
        broker = settings.get(InputOptions.BOOTSTRAP_SERVERS);
        feed = new Feed(settings, board, statistics);
        archive = new Archive(settings);
        var pool = new ThreadPoolExecutor(4, MAX_THREADS, 30, TimeUnit.SECONDS, new SynchronousQueue<>(), task -> {
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
        String bracketed = host.contains(":") ? "[" + host + "]" : host; // an IPv6 address
        return URI.create("http://" + bracketed + ":" + address.getPort() + "/");
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
            try (Door.Place place = door.enter(exchange)) {
                Answer answer = answerTo(Question.of(exchange.getRequestURI()), place);
                answer.send(exchange);
            } catch (Refusal e) {
                Answer.refusal(e.status(), String.valueOf(e.getMessage())).send(exchange);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                Answer.refusal(503, "the viewer ends").send(exchange);
            } catch (RuntimeException e) {
                LOG.warn("{}", exchange.getRequestURI().getPath(), e);
                Answer.refusal(500, "the viewer failed; its log says why").send(exchange);
            }
        }
    }

    private Answer answerTo(Question question, Door.Place place) throws IOException, InterruptedException {
        String page = PAGES.get(question.path());
        if (page != null) {
            return taken(page(page), place);
        }
        return switch (question.path()) {
            case "/labels" -> taken(json(classes.json()), place);
            case "/statistics" -> taken(json(json.writeValueAsBytes(statistics())), place);
            case "/live" -> {
                // A page that outlived the server may have seen numbers that are yet to come, if the clock was set
                // back.
                long seen = question.after() > board.number() ? 0 : question.after();
                board.await(seen, question.cameras(), PATIENCE);
                synchronized (building) {
                    yield moments(board.after(seen, question.cameras()), seen, question, place);
                }
            }
            case "/frame" -> {
                Optional<Moment> moment = moment(question);
                moment.ifPresent(found -> place.take(found.bytes()));
                synchronized (building) {
                    yield moments(moment.stream().toList(), 0, question, place);
                }
            }
            case "/image" -> taken(image(question), place);
            default -> throw new Refusal(404, "no such page");
        };
    }

    private static Answer taken(Answer answer, Door.Place place) {
        place.take(answer.length());
        return answer;
    }

    private Optional<Moment> moment(Question question) {
        question.requireFrame();
        return board.find(question.partition(), question.offset())
                .or(() -> archive.moment(question.partition(), question.offset()));
    }

    private Map<String, Object> statistics() {
        Map<String, Object> about = statistics.about(System.currentTimeMillis() / 1000);
        about.put("connected", feed.connected());
        about.put("broker", broker);
        return about;
    }

    /** Moments and their parts; what does not fit any more comes with the next answer, since it is newer. */
    private Answer moments(List<Moment> moments, long seen, Question question, Door.Place place) throws IOException {
        List<Map<String, Object>> abouts = new ArrayList<>();
        List<byte[]> body = new ArrayList<>();
        long newest = seen;
        long length = 0;
        for (Moment moment : moments) {
            Map<String, Object> about = moment.about();
            List<Map<String, Object>> parts = new ArrayList<>();
            List<Moment.Part> drawn = moment.parts(question.want(), made, classes, colours::of, this::unreadable);
            long bytes = drawn.stream().mapToLong(part -> part.data().length).sum();
            if (!abouts.isEmpty() && length + bytes > MAX_ANSWER) {
                break;
            }
            place.take(bytes);
            for (Moment.Part part : drawn) {
                Map<String, Object> one = new LinkedHashMap<>(part.about());
                one.put("start", length);
                one.put("length", part.data().length);
                length += part.data().length;
                body.add(part.data());
                parts.add(one);
            }
            newest = Math.max(newest, moment.number());
            about.put("parts", parts);
            abouts.add(about);
        }
        byte[] head = json.writeValueAsBytes(Map.of("after", newest, "moments", abouts));
        List<byte[]> all = new ArrayList<>(List.of(
                ByteBuffer.allocate(Integer.BYTES)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putInt(head.length)
                        .array(),
                head));
        all.addAll(body);
        return new Answer(200, "application/octet-stream", all);
    }

    private void unreadable(SpecificRecord record, String reason) {
        String head = RecordKind.head(record);
        if (statistics.unreadable(head, reason)) {
            LOG.warn("{} of {}: {}", head, RecordKind.header(record).getSource(), reason);
        }
    }

    private Answer image(Question question) {
        question.requireFrame();
        Optional<byte[]> image = archive.image(
                        new SourcePosition(question.topic(), question.partition(), question.offset(), 0L))
                .filter(ViewServer::drawable);
        if (image.isEmpty()) {
            return new Answer(204, "text/plain", List.of()); // the page goes without: no error in its console
        }
        boolean png = image.get()[1] == 'P';
        return new Answer(200, png ? "image/png" : "image/jpeg", List.of(image.get()));
    }

    /** Whether a browser may be given an image: whoever sends frames may claim any size. */
    private static boolean drawable(byte[] image) {
        try {
            Dimension size = Images.size(image);
            Moment.checkFrame(size.width, size.height);
            return true;
        } catch (IOException | MalformedRecordException e) {
            return false;
        }
    }

    private static Answer page(String page) throws IOException {
        int split = page.lastIndexOf(' ');
        String path = page.substring(split + 1).replace("VERSION", UPLOT_VERSION);
        try (InputStream in = ViewServer.class.getResourceAsStream(path)) {
            if (in == null) {
                throw new IllegalStateException(path + " is not on the class path");
            }
            return new Answer(200, page.substring(0, split), List.of(in.readAllBytes()));
        }
    }

    private static Answer json(byte[] value) {
        return new Answer(200, "application/json", List.of(value));
    }

    @Override
    public void close() {
        server.stop(0);
        requests.shutdownNow();
        feed.close();
        archive.close();
    }
}
