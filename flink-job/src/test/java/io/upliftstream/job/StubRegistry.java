package io.upliftstream.job;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsServer;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.avro.Schema;

/** A registry on the loopback address that gives every schema the id 7, unless it is told to be unwell. */
final class StubRegistry implements AutoCloseable {
    static final int ID = 7;

    final List<String> asked = new CopyOnWriteArrayList<>();
    volatile Schema schema = SingleObject.schema(CameraFrame.class);
    volatile int status = 200;
    volatile int statusOfOthers = 404;
    volatile boolean hangs;

    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    StubRegistry() throws IOException {
        this(HttpServer.create(address(), 0));
    }

    /** @param server that is not started yet, at {@link #address} */
    StubRegistry(HttpServer server) {
        this.server = server;
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    static InetSocketAddress address() {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        boolean known = exchange.getRequestMethod().equals("POST")
                || exchange.getRequestURI().getPath().endsWith("/" + ID);
        int answered = known ? status : statusOfOthers;
        asked.add(exchange.getRequestMethod() + " " + exchange.getRequestURI() + " "
                + exchange.getRequestHeaders().getFirst("Authorization"));
        String body = new ObjectMapper()
                .createObjectNode()
                .put("id", ID)
                .put("schema", schema.toString())
                .put("message", "told to")
                .put("error_code", 100 * answered + 3)
                .toString();
        try (exchange) {
            while (hangs) {
                Thread.sleep(10);
            }
            exchange.sendResponseHeaders(answered, 0);
            exchange.getResponseBody().write(body.getBytes(UTF_8));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    String url() {
        return (server instanceof HttpsServer ? "https" : "http") + "://127.0.0.1:"
                + server.getAddress().getPort();
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
