package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDate;
import java.util.concurrent.Semaphore;
import org.apache.avro.specific.SpecificRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(60)
class PayloadsTest {
    private static final LocalDate DAY = LocalDate.of(2026, 3, 1);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    static Iterable<SpecificRecord> records() {
        return GoldenRecords.all().values();
    }

    private PayloadReference keep(ByteBuffer payload) throws IOException {
        byte[] bytes = new byte[payload.remaining()];
        payload.duplicate().get(bytes);
        String sha256 = Payloads.sha256(payload);
        Path file = directory.resolve(Payloads.name(DAY, sha256));
        Files.createDirectories(file.getParent());
        Files.write(file, bytes);
        return new PayloadReference(file.toUri().toString(), (long) bytes.length, sha256);
    }

    private byte[] checkedIn(SpecificRecord record) throws IOException {
        SpecificRecord copy = SingleObject.decode(SingleObject.encode(record), record.getClass());
        Payloads.checkIn(copy, 0, this::keep);
        return SingleObject.encode(copy);
    }

    private static FeatureRecord depth() {
        return (FeatureRecord) GoldenRecords.all().get("depth");
    }

    /** A record of depth with this reference in the place of its data. */
    private static byte[] referring(String uri, long length, String sha256) throws IOException {
        FeatureRecord record = SingleObject.decode(SingleObject.encode(depth()), FeatureRecord.class);
        Payloads.checkIn(record, 0, payload -> new PayloadReference(uri, length, sha256));
        return SingleObject.encode(record);
    }

    @ParameterizedTest
    @MethodSource("records")
    void aRecordComesBackAsItWas(SpecificRecord record) throws IOException {
        byte[] bytes = checkedIn(record);

        assertThat(SingleObject.decode(bytes, record.getClass(), PayloadStore.directory(directory)))
                .isEqualTo(record);
        SpecificRecord referring = SingleObject.decode(bytes, record.getClass());
        if (referring instanceof SegmentationRecord labels) {
            assertThat(labels.getMask().getReference()).isPresent();
            labels.getConfidence().ifPresent(confidence -> assertThat(confidence.getReference())
                    .isPresent());
        } else if (referring instanceof FeatureRecord features) {
            assertThat(features.getTensor().getReference()).isPresent();
        } else if (referring instanceof FrameFailure failure) {
            assertThat(failure.getOriginal()).isEmpty();
        } else {
            assertThat(bytes).isEqualTo(SingleObject.encode(record));
        }
    }

    @Test
    void onlyWhatIsLargerGoes() throws IOException {
        FeatureRecord record = depth();
        int length = record.getTensor().getData().remaining();
        Payloads.checkIn(record, length, this::keep);
        assertThat(record.getTensor().getReference()).isEmpty();
        Payloads.checkIn(record, length - 1, this::keep);
        assertThat(record.getTensor().getReference()).isPresent();
        assertThat(record.getTensor().getData().remaining()).isZero();
    }

    @Test
    void theCodecsSayWhereThePayloadIs() throws IOException {
        FeatureRecord record = SingleObject.decode(checkedIn(depth()), FeatureRecord.class);

        assertThatThrownBy(() -> TensorCodec.decode(record.getTensor()))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("tensor: its 384 bytes are at file:///")
                .hasMessageContaining("expected: a reader that was told of the job's claim check");
    }

    /** A record is anybody's: it leads to no other file, host or length than the reader's owner has allowed. */
    @ParameterizedTest
    @CsvSource({
        "file:///etc/passwd",
        "file:///claims/2026-03-01/ab/../../etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "2026-03-01/cd/SHA",
        "2026-03-01/ab/SHA/",
        "2026-03-01/ab/SHA?x=/../y",
        "2026-03-01%2Fab%2FSHA",
        "../2026-3-1/ab/SHA",
    })
    void noUriLeadsElsewhere(String uri) throws IOException {
        String sha256 = "ab".repeat(32);
        byte[] bytes = referring(uri.replace("SHA", sha256), 384, sha256);
        PayloadStore refusing = name -> {
            throw new AssertionError(name + " was opened");
        };

        assertThatThrownBy(() -> SingleObject.decode(bytes, FeatureRecord.class, refusing))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("expected: a URI that ends in a day, two digits of the SHA-256 and the SHA-256");
    }

    @Test
    void whatIsMissingShortLongOrOtherIsSaid() throws IOException {
        byte[] bytes = checkedIn(depth());
        PayloadReference reference = SingleObject.decode(bytes, FeatureRecord.class)
                .getTensor()
                .getReference()
                .orElseThrow();
        Path file = Path.of(URI.create(reference.getUri()));
        byte[] payload = Files.readAllBytes(file);

        Files.write(file, new byte[payload.length]);
        assertProblem(bytes, "holds other bytes (expected: 384 of this SHA-256)");
        Files.write(file, new byte[7]);
        assertProblem(bytes, "holds 7 bytes (expected: 384 of this SHA-256)");
        Files.write(file, new byte[payload.length + 1000]);
        assertProblem(bytes, "holds more bytes (expected: 384 of this SHA-256)");
        Files.delete(file);
        assertProblem(bytes, "cannot be read: java.nio.file.NoSuchFileException");
        assertProblem(
                referring(reference.getUri(), 1L << 40, reference.getSha256()), "tensor: 1099511627776 bytes at file:");
    }

    private void assertProblem(byte[] bytes, String sentence) {
        long before = Allocated.bytes();
        assertThatThrownBy(() -> SingleObject.decode(bytes, FeatureRecord.class, PayloadStore.directory(directory)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining(sentence);
        assertThat(Allocated.bytes() - before).isLessThan(10 << 20);
    }

    @Test
    void whatDoesNotComeIsGivenUp() throws IOException {
        FeatureRecord record = SingleObject.decode(checkedIn(depth()), FeatureRecord.class);
        PayloadStore slow = name -> {
            try {
                Thread.sleep(60_000);
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return InputStream.nullInputStream();
        };
        assertThatThrownBy(() -> Payloads.fetch(record, slow, 1 << 20, Duration.ofMillis(50)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("cannot be read: java.io.IOException: not within 50 ms");
    }

    /** Opening hangs and hears nothing: there is no stream yet that could be closed. */
    @Test
    void aStoreThatNeverOpensHasNoMoreThreadsThanAreAllowed() throws Exception {
        FeatureRecord record = SingleObject.decode(checkedIn(depth()), FeatureRecord.class);
        Semaphore gate = new Semaphore(0);
        PayloadStore hanging = name -> {
            gate.acquireUninterruptibly();
            return InputStream.nullInputStream();
        };
        try {
            for (int i = 0; i < Payloads.MAX_READERS + 20; i++) {
                assertThatThrownBy(() -> Payloads.fetch(record, hanging, 1 << 20, Duration.ofMillis(5)))
                        .hasMessageContaining("not within 5 ms");
            }
            assertThat(Thread.getAllStackTraces().keySet().stream()
                            .filter(thread -> thread.getName().equals("payload")))
                    .hasSizeLessThanOrEqualTo(Payloads.MAX_READERS);
        } finally {
            gate.release(1000);
        }
        Payloads.fetch(record, PayloadStore.directory(directory)); // and it goes on
        assertThat(record.getTensor().getReference()).isEmpty();
    }

    @Test
    void theWebIsADirectoryToo() throws IOException {
        byte[] bytes = checkedIn(depth());
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/bucket/", exchange -> {
            Path file = directory.resolve(exchange.getRequestURI().getPath().replace("/bucket/", ""));
            boolean found = Files.exists(file);
            exchange.sendResponseHeaders(found ? 200 : 403, 0);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(found ? Files.readAllBytes(file) : new byte[0]);
            }
        });
        server.start();
        try {
            URI root = URI.create(
                    "http://127.0.0.1:%d/".formatted(server.getAddress().getPort()));
            HttpClient client = HttpClient.newHttpClient();
            assertThat(SingleObject.decode(
                            bytes, FeatureRecord.class, PayloadStore.web(client, root.resolve("bucket/"))))
                    .isEqualTo(depth());
            String sha256 = "ab".repeat(32);
            byte[] missing = referring("s3://b/" + Payloads.name(DAY, sha256), 3, sha256);
            assertThatThrownBy(() -> SingleObject.decode(
                            missing, FeatureRecord.class, PayloadStore.web(client, root.resolve("bucket/"))))
                    .hasMessageContaining("tensor: s3://b/2026-03-01/ab/" + sha256 + " cannot be read: ")
                    .hasMessageContaining("status 403 (expected: 200)");
        } finally {
            server.stop(0);
        }
    }
}
