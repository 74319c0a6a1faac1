package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ModelBundleTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path temporary;

    @Test
    void readsWhatTheManifestSays() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.TINY);
        assertThat(bundle.name()).isEqualTo("tiny");
        assertThat(bundle.version()).isEqualTo("1.0.0");
        assertThat(bundle.sha256()).matches("[0-9a-f]{64}");
        assertThat(bundle.input()).isEqualTo(new InputSpec(16, 8, Fit.LETTERBOX, 4));
        assertThat(bundle.upsampler()).isEqualTo(new ModelBundle.Upsampler("uplift", 2, 1));
        assertThat(bundle.heads())
                .containsExactly(
                        new HeadSpec("classes", HeadKind.SEGMENTATION, 3, 16, 8, 1, DType.UINT8, null, true),
                        new HeadSpec("features", HeadKind.FEATURES, 6, 4, 2, 4, DType.FLOAT16, null, false),
                        new HeadSpec("depth", HeadKind.REGRESSION, 1, 4, 2, 4, DType.FLOAT32, "m", false));
        assertThat(bundle.labels()).hasSize(3).contains(new Label(1, "class 1", 0xf423e8));
        assertThat(bundle.variants()).extracting(ModelBundle.Variant::name).containsExactly("cpu-fp32");
    }

    @Test
    void anUpsamplerOfAnotherKindHasNoSteps() throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        TestBundles.editManifest(bundle, root -> root.putObject("upsampler").put("kind", "jafar"));
        assertThat(ModelBundle.load(bundle).upsampler()).isEqualTo(new ModelBundle.Upsampler("jafar", 0, 0));
    }

    static Stream<Arguments> wrongManifests() {
        return Stream.of(
                wrong(root -> root.remove("version"), "manifest.json: version: missing (expected: a text)"),
                wrong(root -> root.put("format", "uplift-bundle/2"), "format: \"uplift-bundle/2\" (expected: uplift-"),
                wrong(
                        root -> root.withObject("/input").put("width", "16"),
                        "input.width: \"16\" (expected: an integer"),
                wrong(
                        root -> root.withObject("/input").put("maxBatch", 0),
                        "input.maxBatch: 0 (expected: an integer >="),
                wrong(
                        root -> root.withObject("/input").put("fit", "crop"),
                        "input.fit: \"crop\" (expected: stretch or"),
                wrong(
                        root -> root.withObject("/upsampler")
                                .put("kind", "uplift")
                                .remove("steps"),
                        "upsampler.steps: missing (expected: an integer >= 1)"),
                wrong(root -> root.putArray("heads"), "heads: [] (expected: a list with at least one element)"),
                wrong(root -> head(root, 2).put("stride", 2), "heads[2].width: 4 (expected: 16 / stride = 8)"),
                wrong(root -> head(root, 2).put("stride", 3), "heads[2].stride: 3 (expected: a divisor of 16 and 8)"),
                wrong(root -> head(root, 1).put("dtype", "int8"), "heads[1].dtype: \"int8\" (expected: float16 or"),
                wrong(root -> head(root, 1).put("name", "classes"), "heads[1].name: \"classes\" (expected: a name no"),
                wrong(
                        root -> head(root, 0).put("channels", 4),
                        "labels.json has 3 labels (expected: one per class, 4)"),
                wrong(
                        root -> variant(root).put("device", "tpu"),
                        "variants[0].device: \"tpu\" (expected: cpu or cuda)"),
                wrong(
                        root -> variant(root).put("backbone", "other.pt"),
                        "variants[0].backbone: \"other.pt\" (expected: a f"),
                wrong(root -> root.withObject("/golden").put("count", 2), "frames.bin has 1152 bytes (expected: 768)"),
                wrong(
                        root -> root.withObject("/golden/tolerance/fp32").put("cosine", 2),
                        "cosine: 2 (expected: a number"),
                wrong(root -> root.withObject("/golden/tolerance").remove("fp32"), "golden.tolerance.fp32: missing"),
                wrong(
                        root -> files(root).put("../escape.pt", "0"),
                        "../escape.pt (expected: a file inside the bundle)"),
                wrong(
                        root -> files(root).put("/etc/hostname", "0"),
                        "/etc/hostname (expected: a file inside the bundle)"),
                wrong(root -> files(root).put("gone.bin", "0"), "gone.bin is missing, though manifest.json lists it"));
    }

    private static Arguments wrong(Consumer<ObjectNode> edit, String sentence) {
        return Arguments.of(edit, sentence);
    }

    private static ObjectNode head(ObjectNode root, int index) {
        return (ObjectNode) ((ArrayNode) root.get("heads")).get(index);
    }

    private static ObjectNode variant(ObjectNode root) {
        return (ObjectNode) ((ArrayNode) root.get("variants")).get(0);
    }

    private static ObjectNode files(ObjectNode root) {
        return root.withObject("/files");
    }

    @ParameterizedTest
    @MethodSource("wrongManifests")
    void saysWhatIsWrongWithAManifest(Consumer<ObjectNode> edit, String sentence) throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        TestBundles.editManifest(bundle, edit);
        assertRefused(bundle, sentence);
    }

    @Test
    void refusesAChangedFile() throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        Path weights = bundle.resolve("cpu-fp32/backbone.pt");
        byte[] bytes = Files.readAllBytes(weights);
        bytes[bytes.length / 2] ^= 1;
        Files.write(weights, bytes);
        assertRefused(bundle, "cpu-fp32/backbone.pt: SHA-256 is ");
    }

    @Test
    void refusesALinkThatLeadsOut() throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        Path labels = bundle.resolve("labels.json");
        Files.move(labels, temporary.resolve("labels.json"));
        Files.createSymbolicLink(labels, temporary.resolve("labels.json"));
        assertRefused(bundle, "labels.json (expected: a file inside the bundle)");
    }

    /** Whoever may write to the directory cannot put another file in the place of one that was checked. */
    @Test
    void whatWasHashedIsWhatIsLoaded() throws Exception {
        for (String file : new String[] {"cpu-fp32/upsampler.pt", "golden/frames.bin"}) {
            Path bundle = TestBundles.copyOfTiny(Files.createDirectory(temporary.resolve(file.replace('/', '-'))));
            ModelBundle checked = ModelBundle.load(bundle);
            Files.copy(
                    bundle.resolve("cpu-fp32/backbone.pt"), bundle.resolve(file), StandardCopyOption.REPLACE_EXISTING);
            assertThatThrownBy(() -> DenseModel.load(checked, new ModelOptions("cpu", "fp32", 0)))
                    .isInstanceOf(BundleException.class)
                    .hasMessageContaining(
                            file.substring(file.indexOf('/')) + " was changed after its bundle was checked");
        }
    }

    @Test
    void refusesManifestsThatAreMoreThanJson() throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        Path manifest = bundle.resolve("manifest.json");
        String json = Files.readString(manifest);
        Files.writeString(manifest, json + " ".repeat(1 << 20));
        assertRefused(bundle, "manifest.json has more than 1048576 bytes");
        Files.writeString(manifest, json.replaceFirst("\\{", "{\"name\": \"other\","));
        assertRefused(bundle, "Duplicate field 'name'");
        Files.writeString(manifest, "[".repeat(5000) + "]".repeat(5000));
        assertRefused(bundle, "manifest.json is not JSON");
        Files.delete(manifest);
        Files.createDirectory(manifest);
        assertRefused(bundle, "manifest.json is missing");
        Files.delete(manifest);
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/mkfifo")), "no mkfifo: a pipe is not tried");
        new ProcessBuilder("/usr/bin/mkfifo", manifest.toString()).start().waitFor();
        assertRefused(bundle, "manifest.json is missing");
    }

    @Test
    void refusesWhatIsNoBundle() throws IOException {
        assertRefused(temporary.resolve("nowhere"), "not a directory");
        assertRefused(temporary, "manifest.json is missing");
        Files.writeString(temporary.resolve("manifest.json"), "{\"format\": ");
        assertRefused(temporary, "manifest.json is not JSON");
        Files.writeString(temporary.resolve("manifest.json"), "[]");
        assertRefused(temporary, "format: missing");
    }

    private static void assertRefused(Path bundle, String sentence) {
        assertThatThrownBy(() -> ModelBundle.load(bundle))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining(sentence)
                .hasMessageNotContaining("\n");
    }
}
