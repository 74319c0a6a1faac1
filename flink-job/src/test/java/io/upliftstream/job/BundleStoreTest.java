package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.ModelBundle;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class BundleStoreTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void whatIsUnusedForLongestGoesFirstButNeverWhatHasToStay() throws Exception {
        BundleStore store = store("job", "uplift.control.cache.max-bytes", "1 mb");
        List<Activation> models = new ArrayList<>();
        for (int number = 0; number < 4; number++) {
            models.add(bundle(Integer.toString(number), 300_000));
        }
        Path oldest = fetch(store, models.get(0));
        Path middle = fetch(store, models.get(1));
        Path newest = fetch(store, models.get(2));
        used(oldest, 3);
        used(middle, 2);
        used(newest, 1);

        Path fetched =
                store.fetch(models.get(3), List.of(models.get(0).sha256())).get();

        assertThat(oldest).as("it serves").exists();
        assertThat(middle).doesNotExist();
        assertThat(newest).exists();
        assertThat(fetched).exists();
    }

    @Test
    void aBundleThatDoesNotFitBesideThoseThatServeIsRefused() throws Exception {
        BundleStore store = store("job", "uplift.control.cache.max-bytes", "1 mb");
        Activation serving = bundle("0", 600_000);
        Path home = fetch(store, serving);
        Activation large = bundle("1", 600_000);

        assertThatThrownBy(() -> store.fetch(large, List.of(serving.sha256())).get())
                .hasCauseInstanceOf(RefusedException.class)
                .hasMessageContaining("with this bundle and those that serve (expected: at most 1048576");
        assertThat(home).exists();
        assertThat(partial()).isEmpty();
    }

    @Test
    void jobsDoNotTakeEachOthersBundles() throws Exception {
        Path ofOne = fetch(store("one", "uplift.control.cache.max-bytes", "1 mb"), bundle("0", 600_000));
        Path ofOther = fetch(store("other/..", "uplift.control.cache.max-bytes", "1 mb"), bundle("1", 600_000));

        assertThat(ofOne).exists();
        assertThat(ofOther).exists();
        assertThat(ofOther).hasParent(directory.resolve("cache").resolve("other%2F.."));
    }

    @Test
    void whatAKilledProcessFetchedIsRemovedWhenNobodyCanWaitForItAnyMore() throws Exception {
        Path cache = Files.createDirectories(directory.resolve("cache").resolve("job"));
        Path left = cache.resolve(".fetch-left");
        Files.createDirectories(left.resolve("cpu-fp32"));
        Files.writeString(left.resolve("cpu-fp32").resolve("backbone.pt"), "half");
        Files.setLastModifiedTime(left, FileTime.from(Instant.now().minus(Duration.ofMinutes(6))));
        Path current = Files.createDirectory(cache.resolve(".fetch-current"));

        fetch(store("job"), bundle("0", 0));

        assertThat(left).doesNotExist();
        assertThat(current).exists();
    }

    /** Its manifest is a pipe that nobody writes to: whoever opens it waits. */
    @Test
    void aFetchThatHangsIsGivenUpAndTheNextBeginsAnew() throws Exception {
        Activation model = bundle("0", 0);
        Path manifest = Path.of(model.bundle()).resolve("manifest.json");
        Path aside = Files.move(manifest, directory.resolve("aside"));
        assertThat(new ProcessBuilder("mkfifo", manifest.toString()).start().waitFor())
                .isZero();
        BundleStore store = store("job", "uplift.control.load-timeout", "500 ms");

        assertThatThrownBy(() -> store.fetch(model, List.of()).get())
                .isInstanceOf(ExecutionException.class)
                .hasCauseInstanceOf(TimeoutException.class);
        Files.delete(manifest);
        Files.move(aside, manifest);

        assertThat(fetch(store, model)).exists();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "/etc/%s",
                "%s/../elsewhere",
                "%s/../../etc",
                "%s-neighbour/tiny",
                "models/tiny",
                "s3://models/tiny",
                "s3:%s/tiny",
                "file://host%s/tiny",
                "%s",
                "%s/tiny\0",
                "",
            })
    void aBundleElsewhereIsRefused(String uri) {
        String allowed = directory.resolve("allowed").toString();
        BundleStore store = store("job", "uplift.control.bundles.allowed", allowed + ", s3://others/models");

        assertThatThrownBy(() -> store.source(uri.formatted(allowed)))
                .isInstanceOf(RefusedException.class)
                .hasMessageStartingWith("bundle: ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"%s/tiny", "file:%s/tiny", "%s/./tiny", "s3://others/models/tiny", "s3://bucket/tiny"})
    void aBundleThereIsTaken(String uri) throws Exception {
        String allowed = directory.resolve("allowed").toString();
        BundleStore store =
                store("job", "uplift.control.bundles.allowed", allowed + "/, s3://others/models, s3://bucket");

        assertThat(store.source(uri.formatted(allowed)).getName()).isEqualTo("tiny");
    }

    @ParameterizedTest
    @ValueSource(strings = {"../aside", "/etc/passwd", "a//b", "a b", ".hidden", "golden/.."})
    void aFileOutsideTheBundleIsNotFetched(String name) throws Exception {
        Activation model = bundle("0", 0);
        Path manifest = Path.of(model.bundle()).resolve("manifest.json");
        Files.writeString(manifest, Files.readString(manifest).replace("labels.json", name));
        Activation named =
                new Activation("c", model.bundle(), BoundedText.sha256(Files.readAllBytes(manifest)), Activation.NOW);

        assertThatThrownBy(() -> fetch(store("job"), named))
                .hasCauseInstanceOf(RefusedException.class)
                .hasMessageContaining("a file named " + name);
        assertThat(partial()).isEmpty();
    }

    /** A pattern of the whole name took more stack than there is. */
    @Test
    void aNameOfCountlessStepsTakesNoStack() throws RefusedException {
        String name = "x/".repeat(20_000) + "x";
        byte[] manifest = "{\"files\": {\"%s\": \"0a\"}}".formatted(name).getBytes(StandardCharsets.UTF_8);

        assertThat(BundleStore.names(manifest, new org.apache.flink.core.fs.Path("s3://models/street")))
                .containsExactly(name);
    }

    private BundleStore store(String job, String... more) {
        String[] settings = Stream.concat(
                        Stream.of(
                                "uplift.control.topic",
                                "control",
                                "uplift.input.group-id",
                                job,
                                "uplift.control.cache.directory",
                                directory.resolve("cache").toString(),
                                "uplift.control.bundles.allowed",
                                directory.toString()),
                        Stream.of(more))
                .toArray(String[]::new);
        return new BundleStore(TestFrames.settings(settings));
    }

    private static Path fetch(BundleStore store, Activation model) throws Exception {
        return store.fetch(model, List.of()).get();
    }

    private static void used(Path bundle, int hoursAgo) throws IOException {
        Files.setLastModifiedTime(bundle, FileTime.from(Instant.now().minus(Duration.ofHours(hoursAgo))));
    }

    /** What a fetch left. */
    private List<Path> partial() throws IOException {
        try (Stream<Path> files = Files.list(directory.resolve("cache").resolve("job"))) {
            return files.filter(file -> file.getFileName().toString().startsWith("."))
                    .collect(Collectors.toList());
        }
    }

    /** A copy of {@code tiny} under this version, larger by so many bytes of spaces behind its labels. */
    private Activation bundle(String version, int more) throws Exception {
        Path copy = directory.resolve("bundle-" + version);
        ControlledTest.copyTiny(copy);
        Path labels = copy.resolve("labels.json");
        String before = BoundedText.sha256(Files.readAllBytes(labels));
        Files.writeString(labels, Files.readString(labels) + " ".repeat(more));
        Path manifest = copy.resolve("manifest.json");
        Files.writeString(
                manifest,
                Files.readString(manifest)
                        .replace("1.0.0", version)
                        .replace(before, BoundedText.sha256(Files.readAllBytes(labels))));
        return new Activation(
                "c-" + version, copy.toString(), ModelBundle.load(copy).sha256(), Activation.NOW);
    }
}
