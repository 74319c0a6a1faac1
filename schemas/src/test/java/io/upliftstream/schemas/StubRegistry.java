package io.upliftstream.schemas;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/** A server on the loopback address that answers every question of a registry's client alike. */
final class StubRegistry implements AutoCloseable {
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    /** Method, path, authorization and body of every question. */
    final List<String> asked = new CopyOnWriteArrayList<>();

    volatile int status = 200;
    volatile String answer = "{}";
    volatile String location = "";
    volatile long delayMillis;

    StubRegistry() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            String body = new String(exchange.getRequestBody().readAllBytes(), UTF_8);
            asked.add("%s %s %s %s"
                    .formatted(
                            exchange.getRequestMethod(),
                            exchange.getRequestURI().getRawPath(),
                            exchange.getRequestHeaders().getFirst("Authorization"),
                            body));
            byte[] bytes = answer.getBytes(UTF_8);
            if (!location.isEmpty()) {
                exchange.getResponseHeaders().set("Location", location);
            }
            try (exchange) {
                exchange.sendResponseHeaders(status, bytes.length); // the body is what comes late
                exchange.getResponseBody().flush();
                Thread.sleep(delayMillis);
                exchange.getResponseBody().write(bytes);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        server.start();
    }

    URI url() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/api/");
    }

    SchemaRegistry client(@Nullable String authorization) {
        return new SchemaRegistry(url(), Duration.ofSeconds(1), authorization, null);
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
