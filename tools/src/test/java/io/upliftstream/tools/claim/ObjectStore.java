package io.upliftstream.tools.claim;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.PayloadStore;
import java.io.IOException;
import java.net.ConnectException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.opentest4j.TestAbortedException;

/** S3's protocol in a process of its own, with one bucket, and Flink's plugin for it. */
final class ObjectStore implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofMinutes(2);
    private static final Path SERVERS = Path.of("target", "servers").toAbsolutePath();

    private final Process process;
    private final int port;
    private final Path plugins;
    final HttpClient client = HttpClient.newHttpClient();

    ObjectStore(Path directory) throws IOException, InterruptedException {
        port = freePort();
        process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx512m",
                        "-XX:TieredStopAtLevel=1",
                        "-Djava.io.tmpdir=" + directory,
                        "-jar",
                        server("s3mock-4.7.0-exec.jar").toString(),
                        "--server.port=" + freePort(),
                        "--com.adobe.testing.s3mock.http-port=" + port,
                        "--com.adobe.testing.s3mock.store.initial-buckets=bucket",
                        "--com.adobe.testing.s3mock.store.root=" + directory.resolve("store"))
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("store.log").toFile())
                .start();
        plugins = Files.createDirectories(directory.resolve("plugins").resolve("s3"));
        Files.createSymbolicLink(plugins.resolve("s3.jar"), server("flink-s3-fs-hadoop-2.2.0.jar"));
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!answers()) {
            assertThat(process.isAlive() && System.nanoTime() < deadline)
                    .as("the store answers: " + Files.readString(directory.resolve("store.log")))
                    .isTrue();
            Thread.sleep(100);
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0)) {
            return free.getLocalPort();
        }
    }

    private static Path server(String jar) {
        Path server = SERVERS.resolve(jar);
        if (!Files.exists(server)) {
            throw new TestAbortedException(server + " is missing (expected: mvn -Pservers, which puts it there)");
        }
        return server;
    }

    private boolean answers() throws IOException, InterruptedException {
        try {
            return process.isAlive()
                    && client.send(request("").build(), BodyHandlers.discarding())
                                    .statusCode()
                            == 200;
        } catch (ConnectException e) {
            return false;
        }
    }

    private HttpRequest.Builder request(String name) {
        return HttpRequest.newBuilder(uri().resolve(name)).timeout(PATIENCE);
    }

    /** The bucket on the web, where anybody may read. */
    URI uri() {
        return URI.create("http://127.0.0.1:%d/bucket/".formatted(port));
    }

    int port() {
        return port;
    }

    PayloadStore store() {
        return PayloadStore.web(client, uri().resolve("claims/"));
    }

    /** Puts other bytes in the place of a payload. */
    void overwrite(String name, byte[] bytes) throws IOException, InterruptedException {
        client.send(
                request("claims/" + name)
                        .PUT(HttpRequest.BodyPublishers.ofByteArray(bytes))
                        .build(),
                BodyHandlers.discarding());
    }

    void delete(String name) throws IOException, InterruptedException {
        client.send(request("claims/" + name).DELETE().build(), BodyHandlers.discarding());
    }

    /** Of a job that writes there, through a port that leads there. */
    List<String> settings(int through) {
        return List.of(
                "uplift.output.claim-check.directory=s3://bucket/claims",
                "s3.endpoint=http://127.0.0.1:" + through,
                "s3.path.style.access=true",
                "s3.access-key=anybody",
                "s3.secret-key=anything",
                "s3.endpoint.region=us-east-1",
                "s3.change.detection.mode=none"); // this store takes no ETag without quotes; hashes say more
    }

    Map<String, String> environment() {
        return Map.of("FLINK_PLUGINS_DIR", plugins.getParent().toString());
    }

    @Override
    public void close() throws IOException {
        process.destroyForcibly().onExit().join();
        Files.delete(plugins.resolve("s3.jar"));
    }
}
