package io.upliftstream.tools.embedded;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.prometheus.client.CollectorRegistry;
import io.prometheus.client.exporter.common.TextFormat;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.flink.metrics.prometheus.AbstractPrometheusReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/** Flink's metrics for Prometheus on one address; Flink's own reporter listens on every address of the machine. */
public final class LocalPrometheusReporter extends AbstractPrometheusReporter {
    private static final int THREADS = 16;

    private final HttpServer server;
    private final ExecutorService executor = Executors.newFixedThreadPool(THREADS, work -> {
        Thread thread = new Thread(work, "metrics");
        thread.setDaemon(true);
        return thread;
    });
    private final CollectorRegistry registry;
    private final String host;

    private LocalPrometheusReporter(String host, int port) {
        this.host = host;
        try {
            // Flink's class has the registry for its own subclasses only.
            var field = AbstractPrometheusReporter.class.getDeclaredField("registry");
            field.setAccessible(true);
            registry = (CollectorRegistry) field.get(this);
            HttpLimits.set(); // who sends half a request would otherwise hold a thread for ever
            server = HttpServer.create(new InetSocketAddress(host, port), 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
        server.createContext("/", this::answer);
        server.setExecutor(executor);
        server.start();
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            if (!RestGuard.namesThisMachine(exchange.getRequestHeaders().getFirst("Host"), host)) {
                exchange.sendResponseHeaders(HttpURLConnection.HTTP_FORBIDDEN, -1);
            } else if (!exchange.getRequestMethod().equals("GET")) {
                exchange.sendResponseHeaders(HttpURLConnection.HTTP_BAD_METHOD, -1);
            } else {
                exchange.getResponseHeaders().set("Content-Type", TextFormat.CONTENT_TYPE_004);
                exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
                exchange.getResponseHeaders().set("Cross-Origin-Resource-Policy", "same-origin");
                exchange.sendResponseHeaders(HttpURLConnection.HTTP_OK, 0);
                try (Writer writer = new OutputStreamWriter(exchange.getResponseBody(), StandardCharsets.UTF_8)) {
                    TextFormat.write004(writer, registry.metricFamilySamples());
                }
            }
        }
    }

    @Override
    public void close() {
        server.stop(0);
        executor.shutdown();
        super.close();
    }

    /** Flink finds this class as a service. */
    public static final class Factory implements MetricReporterFactory {
        static final String HOST = "host";
        static final String PORT = "port";

        @Override
        public LocalPrometheusReporter createMetricReporter(Properties properties) {
            return new LocalPrometheusReporter(
                    properties.getProperty(HOST), Integer.parseInt(properties.getProperty(PORT)));
        }
    }
}
