package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import io.upliftstream.model.video.AccessUnit;
import io.upliftstream.model.video.AccessUnit.Codec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever a camera sends or a bundle says, the answer is a frame, a bundle, or an exception that says what was expected.
 * Runs the seeds as a test; docs/reliability.md says how to fuzz.
 */
class ModelFuzzTest {
    private static final long MAX_PIXELS = 4L << 20;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    static Path directory;

    @SuppressWarnings("NullAway.Init")
    private static Path bundle;

    @BeforeAll
    static void copyBundle() throws IOException {
        bundle = TestBundles.copyOfTiny(directory);
    }

    static Stream<byte[]> images() throws IOException {
        List<byte[]> images = new ArrayList<>();
        try (Stream<Path> files = Files.list(Path.of("src", "test", "resources", "images"))) {
            for (Path file : files.filter(file -> !file.toString().endsWith(".rgb"))
                    .sorted()
                    .toList()) {
                images.add(Files.readAllBytes(file));
            }
        }
        byte[] progressive = TestBundles.image("progressive.jpg");
        ByteBuffer twice = ByteBuffer.allocate(2 * progressive.length - 4); // two frames before one end
        images.add(twice.put(progressive, 0, progressive.length - 2)
                .put(progressive, 2, progressive.length - 2)
                .array());
        return images.stream();
    }

    @MethodSource("images")
    @FuzzTest
    void image(byte[] bytes) {
        InputSpec input = new InputSpec(48, 32, Fit.LETTERBOX, 1);
        try {
            DecodedFrame frame = new FrameDecoder(input, MAX_PIXELS).decode(bytes);
            assertThat(frame.rgb().remaining()).isEqualTo(input.frameBytes());
        } catch (FrameException e) {
            assertThat(e).hasMessageContaining("expected");
        }
    }

    static Stream<byte[]> manifests() throws IOException {
        return Stream.of(Files.readAllBytes(TestBundles.TINY.resolve("manifest.json")));
    }

    @MethodSource("manifests")
    @FuzzTest
    void manifest(byte[] json) throws IOException {
        Files.write(bundle.resolve("manifest.json"), json);
        try {
            assertThat(ModelBundle.load(bundle).heads()).isNotEmpty();
        } catch (BundleException e) {
            assertThat(e).hasMessageStartingWith("bundle ");
        }
    }

    private static final List<Codec> CODECS = List.of(Codec.values());

    static Stream<byte[]> packets() throws IOException {
        List<byte[]> packets = new ArrayList<>();
        for (Codec codec : CODECS) {
            String extension = "." + codec.name().toLowerCase(Locale.ROOT);
            try (Stream<Path> files = Files.list(Path.of("src", "test", "resources", "video"))) {
                for (Path file : files.filter(each -> each.toString().endsWith(extension))
                        .sorted()
                        .toList()) {
                    byte[] video = Files.readAllBytes(file);
                    packets.add(join(
                            new byte[] {(byte) CODECS.indexOf(codec)},
                            Arrays.copyOf(video, Math.min(video.length, 2000))));
                }
            }
        }
        // A finding: parameter sets before a start code that nothing follows.
        packets.add(Base64.getDecoder().decode("AQAAAAFGAAAAAAMAHpWUCQAAAAFCAQEBYAAAAwCQAAADAB6gIH3wWQHBc9CJAAAB"));
        return packets.stream();
    }

    /** The codec (a byte), then a packet. */
    @MethodSource("packets")
    @FuzzTest
    void packet(byte[] bytes) {
        if (bytes.length == 0) {
            return;
        }
        Codec codec = CODECS.get(Math.floorMod(bytes[0], CODECS.size()));
        byte[] data = Arrays.copyOfRange(bytes, 1, bytes.length);
        AccessUnit unit = AccessUnit.of(codec, data);
        assertThat(unit.clean() && unit.open()).isFalse();
        byte[] sets = unit.parameterSets();
        assertThat(sets.length).isLessThanOrEqualTo(2 * data.length);
        AccessUnit alone = AccessUnit.of(codec, sets);
        assertThat(alone.parameterSets()).as("nothing else is in them").isEqualTo(sets);
        assertThat(alone.picture()).isEqualTo(codec == Codec.AV1);
        assertThat(AccessUnit.of(codec, join(sets, data)))
                .as("as a decoder gets it")
                .usingRecursiveComparison()
                .ignoringFields("parameterSets")
                .isEqualTo(unit);
        AccessUnit.codec(data).ifPresent(told -> assertThat(told).isNotEqualTo(Codec.AV1));
    }

    private static byte[] join(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length)
                .put(first)
                .put(second)
                .array();
    }
}
