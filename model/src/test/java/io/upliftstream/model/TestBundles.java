package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** The bundles the tests run: {@code tiny} from the test resources, and the one the product ships. */
final class TestBundles {
    static final Path TINY = Path.of("src", "test", "resources", "tiny");
    static final Path STREET = Path.of("bundles", "street");

    private static final JsonMapper JSON = new JsonMapper();

    private TestBundles() {}

    /** A copy of {@code tiny} to break. */
    static Path copyOfTiny(Path into) throws IOException {
        Path copy = into.resolve("tiny");
        try (Stream<Path> files = Files.walk(TINY)) {
            for (Path file : files.toList()) {
                Files.copy(file, copy.resolve(TINY.relativize(file).toString()));
            }
        }
        return copy;
    }

    static void editManifest(Path bundle, Consumer<ObjectNode> edit) throws IOException {
        Path manifest = bundle.resolve("manifest.json");
        ObjectNode root = (ObjectNode) JSON.readTree(manifest.toFile());
        edit.accept(root);
        JSON.writeValue(manifest.toFile(), root);
    }

    /** Puts the hash that a file has now into the manifest. */
    static void rehash(Path bundle, String file) throws IOException, NoSuchAlgorithmException {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(bundle.resolve(file)));
        editManifest(bundle, root -> root.withObject("/files")
                .put(file, HexFormat.of().formatHex(hash)));
    }

    static byte[] image(String name) throws IOException {
        return Files.readAllBytes(Path.of("src", "test", "resources", "images", name));
    }

    /** Threads that services and batchers started and that are alive. */
    static List<Thread> upliftThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("uplift-"))
                .toList();
    }

    /** Fails if a thread that a service or batcher started does not end, or one that such a thread started meanwhile. */
    static void assertNoThreadsLeft() throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        for (List<Thread> left = upliftThreads(); !left.isEmpty() && System.nanoTime() < end; left = upliftThreads()) {
            left.get(0).join(1000);
        }
        assertThat(upliftThreads()).isEmpty();
    }
}
