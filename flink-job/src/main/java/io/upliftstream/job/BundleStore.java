package io.upliftstream.job;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.model.BundleException;
import io.upliftstream.model.ModelBundle;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Bundles that commands name, fetched by Flink's file systems into a directory of this machine, where each has its hash for
 * its name. What is used was compared with that hash: whoever can write to the source, or to this directory, cannot change
 * what a command named.
 */
final class BundleStore {
    private static final Logger LOG = LoggerFactory.getLogger(BundleStore.class);
    private static final JsonMapper JSON = new JsonMapper();
    private static final int MAX_MANIFEST = 1 << 20;
    private static final int MAX_FILES = 1000;
    private static final int BUFFER = 1 << 16;
    private static final String MANIFEST = "manifest.json";
    private static final String PARTIAL = ".fetch-";

    /** What is being fetched in this process: its subtasks fetch a bundle once. */
    private static final Map<List<Object>, CompletableFuture<Path>> FETCHES = new HashMap<>();

    private final JobSettings settings;

    BundleStore(JobSettings settings) {
        this.settings = settings;
    }

    /**
     * The bundle, from the cache or else from its URI. Fails with a {@link RefusedException} if the URI is not allowed, or
     * there is another bundle than the named one, with an {@link IOException} if it cannot be read, or written to the cache,
     * and with a {@link TimeoutException} after the settings' load timeout. A fetch that hangs then keeps its thread, and
     * nothing else: the next one begins anew.
     *
     * @param keep hashes of the bundles that have to stay in the cache
     */
    CompletableFuture<Path> fetch(Activation model, Collection<String> keep) {
        long millis = settings.get(ControlOptions.LOAD_TIMEOUT).toMillis();
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        synchronized (FETCHES) {
            FETCHES.values().removeIf(CompletableFuture::isDone);
            return FETCHES.computeIfAbsent(
                    List.of(settings.bundleCache(), job(), model.sha256(), model.bundle()),
                    unused -> ModelLoader.inThread("uplift-fetch", () -> fetch(model, keep, deadline), path -> {})
                            .orTimeout(millis, TimeUnit.MILLISECONDS));
        }
    }

    private Path fetch(Activation model, Collection<String> keep, long deadline) throws RefusedException, IOException {
        Path cache = directory();
        Files.createDirectories(cache);
        deleteLeftovers(cache);
        Path home = cache.resolve(model.sha256());
        if (isWhole(home, model.sha256())) {
            Files.setLastModifiedTime(home, FileTime.from(Instant.now()));
            return home;
        }
        delete(home); // which somebody damaged
        Path partial = Files.createTempDirectory(cache, PARTIAL);
        try {
            copy(source(model.bundle()), model.sha256(), partial, cache, keep, deadline);
            if (!isWhole(partial, model.sha256())) {
                ModelBundle unused = ModelBundle.load(partial); // says what is wrong
            }
            try {
                Files.move(partial, home, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                if (!isWhole(home, model.sha256())) { // or another process of this machine was faster
                    throw e;
                }
            }
            return home;
        } catch (BundleException e) {
            throw new RefusedException(String.valueOf(e.getMessage())
                    .replace(partial.toAbsolutePath().toString(), model.bundle()));
        } finally {
            delete(partial);
        }
    }

    /** Each job has its own: none knows which bundles another one still needs. */
    private Path directory() {
        return settings.bundleCache()
                .orElseGet(() -> StateDirectory.of("bundles"))
                .resolve(job());
    }

    private String job() {
        return URLEncoder.encode(settings.get(InputOptions.GROUP_ID), StandardCharsets.UTF_8);
    }

    /** What killed processes were fetching, and what hangs: nobody waits for it any more. */
    private void deleteLeftovers(Path cache) {
        FileTime oldest = FileTime.from(Instant.now().minus(settings.get(ControlOptions.LOAD_TIMEOUT)));
        try (Stream<Path> found = Files.list(cache)) {
            for (Path partial : found.filter(
                            path -> path.getFileName().toString().startsWith(PARTIAL))
                    .toList()) {
                if (lastUsed(partial).compareTo(oldest) < 0) {
                    LOG.info("{} is removed: its fetch was not finished", partial);
                    delete(partial);
                }
            }
        } catch (IOException | UncheckedIOException e) {
            LOG.warn("{}: what fetches left there cannot be removed: {}", cache, e.toString());
        }
    }

    private static boolean isWhole(Path directory, String sha256) {
        try {
            return Files.isDirectory(directory)
                    && ModelBundle.load(directory).sha256().equals(sha256);
        } catch (BundleException e) {
            return false;
        }
    }

    /** The directory that a command names, if it may. */
    org.apache.flink.core.fs.Path source(String uri) throws RefusedException {
        org.apache.flink.core.fs.Path asked = path(uri);
        String allowed = settings.allowedBundles();
        boolean inside = Arrays.stream(allowed.split(",", -1))
                .map(String::strip)
                .filter(prefix -> !prefix.isEmpty())
                .anyMatch(prefix -> contains(prefix, asked));
        if (!inside) {
            throw new RefusedException("bundle: %s (expected: a directory under %s, as %s says)"
                    .formatted(uri, allowed, ControlOptions.BUNDLES_ALLOWED.key()));
        }
        return asked;
    }

    private static boolean contains(String prefix, org.apache.flink.core.fs.Path asked) {
        try {
            String home = canonical(path(prefix + "/")); // of a bucket alone, its root
            return canonical(asked).startsWith(home.endsWith("/") ? home : home + "/");
        } catch (RefusedException e) {
            return false;
        }
    }

    private static org.apache.flink.core.fs.Path path(String uri) throws RefusedException {
        try {
            org.apache.flink.core.fs.Path path = new org.apache.flink.core.fs.Path(uri); // without . and ..
            boolean printable = uri.chars().noneMatch(Character::isISOControl);
            if (printable && path.isAbsolute() && !canonical(path).contains("/../")) {
                return path;
            }
        } catch (IllegalArgumentException e) {
            // Refused below.
        }
        throw new RefusedException(
                "bundle: %s (expected: a URI such as s3://models/street, or an absolute path)".formatted(uri));
    }

    private static String canonical(org.apache.flink.core.fs.Path path) {
        String scheme = path.toUri().getScheme();
        String authority = path.toUri().getAuthority();
        return (scheme == null ? "file" : scheme) + "://" + (authority == null ? "" : authority)
                + path.toUri().getPath();
    }

    private void copy(
            org.apache.flink.core.fs.Path source,
            String sha256,
            Path target,
            Path cache,
            Collection<String> keep,
            long deadline)
            throws RefusedException, IOException {
        FileSystem files = source.getFileSystem();
        org.apache.flink.core.fs.Path manifest = new org.apache.flink.core.fs.Path(source, MANIFEST);
        byte[] json;
        try (InputStream in = files.open(manifest)) {
            json = in.readNBytes(MAX_MANIFEST + 1);
        }
        String found = BoundedText.sha256(json);
        if (json.length > MAX_MANIFEST || !found.equals(sha256)) {
            throw new RefusedException(
                    "bundle %s: SHA-256 of %s is %s (expected: %s)".formatted(source, MANIFEST, found, sha256));
        }
        Files.write(target.resolve(MANIFEST), json);
        List<String> names = names(json, source);
        long bytes = json.length;
        for (String name : names) {
            FileStatus status = files.getFileStatus(new org.apache.flink.core.fs.Path(source, name));
            bytes += status.getLen();
        }
        throwIfLate(source, deadline);
        makeRoom(cache, bytes, keep);
        for (String name : names) {
            Path file = target.resolve(name);
            Files.createDirectories(Objects.requireNonNull(file.getParent()));
            try (InputStream in = files.open(new org.apache.flink.core.fs.Path(source, name));
                    OutputStream out = Files.newOutputStream(file)) {
                byte[] buffer = new byte[BUFFER];
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    throwIfLate(source, deadline);
                    bytes -= n;
                    if (bytes < 0) {
                        throw new IOException(source + ": it grew while it was fetched");
                    }
                    out.write(buffer, 0, n);
                }
            }
        }
    }

    /** Whoever waited is gone, and what has to stay in the cache may be something else by now. */
    private static void throwIfLate(org.apache.flink.core.fs.Path source, long deadline) throws IOException {
        if (System.nanoTime() - deadline > 0) {
            throw new IOException(source + ": not fetched in time");
        }
    }

    /** The files that a manifest lists; {@link ModelBundle#load} looks at everything else in it. */
    static List<String> names(byte[] manifest, org.apache.flink.core.fs.Path source) throws RefusedException {
        JsonNode listed;
        try {
            listed = JSON.readTree(manifest).path("files");
        } catch (IOException e) {
            throw new RefusedException("bundle %s: %s is not JSON (expected: a manifest)".formatted(source, MANIFEST));
        }
        if (!listed.isObject() || listed.size() > MAX_FILES) {
            throw new RefusedException(
                    "bundle %s: %d files (expected: 1 to %d)".formatted(source, listed.size(), MAX_FILES));
        }
        List<String> names = new ArrayList<>();
        listed.fieldNames().forEachRemaining(names::add);
        for (String name : names) {
            // Step by step: a pattern of the whole name would go as deep as that is long.
            if (!Stream.of(name.split("/", -1)).allMatch(step -> step.matches("[\\w-][\\w.-]*"))) {
                throw new RefusedException(
                        "bundle %s: a file named %s (expected: letters, digits, and _ . - /)".formatted(source, name));
            }
        }
        return names;
    }

    private void makeRoom(Path cache, long bytes, Collection<String> keep) throws IOException, RefusedException {
        long most = settings.get(ControlOptions.CACHE_MAX_BYTES).getBytes();
        long kept = bytes;
        List<Path> bundles;
        try (Stream<Path> found = Files.list(cache)) {
            bundles = found.filter(path -> path.getFileName().toString().matches("[0-9a-f]{64}"))
                    .sorted(Comparator.comparing(BundleStore::lastUsed).reversed())
                    .toList();
        }
        for (Path bundle : bundles) {
            if (keep.contains(bundle.getFileName().toString())) {
                kept += size(bundle);
            }
        }
        if (kept > most) {
            throw new RefusedException(
                    "cache %s: %d bytes with this bundle and those that serve (expected: at most %d, %s)"
                            .formatted(cache, kept, most, ControlOptions.CACHE_MAX_BYTES.key()));
        }
        for (Path bundle : bundles) {
            if (!keep.contains(bundle.getFileName().toString())) {
                kept += size(bundle);
                if (kept > most) {
                    delete(bundle);
                }
            }
        }
        long free = Files.getFileStore(cache).getUsableSpace();
        if (free < bytes) {
            throw new RefusedException(
                    "cache %s: %d bytes are free (expected: %d for this bundle)".formatted(cache, free, bytes));
        }
    }

    private static FileTime lastUsed(Path bundle) {
        try {
            return Files.getLastModifiedTime(bundle);
        } catch (IOException e) {
            return FileTime.fromMillis(0);
        }
    }

    private static long size(Path bundle) throws IOException {
        try (Stream<Path> files = Files.walk(bundle)) {
            return files.mapToLong(file -> file.toFile().length()).sum();
        }
    }

    private static void delete(Path directory) throws IOException {
        if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }
}
