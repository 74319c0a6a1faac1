package io.upliftstream.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.Optional;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class OperatorLibraryTest {
    private static final ModelOptions CPU = new ModelOptions("cpu", "fp32", 0);

    @TempDir
    Path temporary;

    @Test
    void isWhatTheVariableNamesAmongOthers() throws Exception {
        Path library = anyLibrary();
        assertThat(OperatorLibrary.find(null)).isEmpty();
        assertThat(OperatorLibrary.find("/opt/libother.so")).isEmpty();
        assertThat(OperatorLibrary.find("/opt/libother.so," + library)).contains(library);
    }

    @Test
    void aFileThatIsNotThereIsOneSentence() {
        assertThatThrownBy(() -> OperatorLibrary.find("/nowhere/libuplift_operators.so"))
                .isInstanceOf(BundleException.class)
                .hasMessage("PYTORCH_EXTRA_LIBRARY_PATH: /nowhere/libuplift_operators.so: no such file"
                        + " (expected: what model/cuda/build made)");
    }

    @Test
    void anEmptyVariableIsOneSentence() {
        assertThatThrownBy(() -> OperatorLibrary.find(""))
                .isInstanceOf(BundleException.class)
                .hasMessage("PYTORCH_EXTRA_LIBRARY_PATH: empty (expected: a library's file, or no such variable)");
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aFileThatWasCutShortIsRefusedBeforeTheLoaderSeesIt() throws Exception {
        Path library = anyLibrary();
        byte[] whole = Files.readAllBytes(library);
        for (int bytes : new int[] {whole.length - 1, whole.length / 2, 64}) {
            Files.write(library, Arrays.copyOf(whole, bytes));
            assertThatThrownBy(() -> OperatorLibrary.find(library.toString()))
                    .isInstanceOf(BundleException.class)
                    .hasMessageContaining(library + ": " + bytes + " bytes (expected: all of its " + whole.length);
        }
        for (byte[] other : new byte[][] {{}, "not a library".getBytes(UTF_8), new byte[100]}) {
            Files.write(library, other);
            assertThatThrownBy(() -> OperatorLibrary.find(library.toString()))
                    .hasMessageContaining(": " + other.length + " bytes that are no library");
        }
    }

    @Test
    void saysWhatAGpuLosesWithoutThem() throws Exception {
        Variant with = ModelBundle.load(tinyWithOperators("cpu-fp32/upsampler.pt"))
                .variants()
                .get(0);
        Variant without = ModelBundle.load(TestBundles.TINY).variants().get(0);
        Optional<Path> library = Optional.of(Path.of("libuplift_operators.so"));
        assertThat(OperatorLibrary.lossOnGpu(with, library)).isEmpty();
        assertThat(OperatorLibrary.lossOnGpu(with, Optional.empty()).orElseThrow())
                .startsWith(
                        "PYTORCH_EXTRA_LIBRARY_PATH names no uplift_operators: the upsampler runs its portable graph")
                .doesNotContain("\n");
        assertThat(OperatorLibrary.lossOnGpu(without, library).orElseThrow())
                .startsWith("variant cpu-fp32 has no graph for uplift_operators: ");
    }

    @Test
    void withoutTheLibraryThePortableGraphRuns() throws Exception {
        ModelBundle bundle = ModelBundle.load(tinyWithOperators("labels.json"));
        try (DenseModel model = DenseModel.load(bundle, CPU)) {
            assertThat(model.describe()).doesNotContain("with operators");
        }
    }

    @Test
    void aGraphForAnotherLibraryIsRefused() throws Exception {
        Path bundle = tinyWithOperators("cpu-fp32/upsampler.pt");
        TestBundles.editManifest(
                bundle, root -> variant(root).withObject("/operators").put("library", "others"));
        assertThatThrownBy(() -> ModelBundle.load(bundle))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining("operators.library")
                .hasMessageContaining("uplift_operators");
    }

    @Test
    void anOperatorThatIsMissingIsOneSentence() throws Exception {
        Path directory = TestBundles.copyOfTiny(temporary);
        String file = "cpu-fp32/upsampler.pt";
        Files.write(directory.resolve(file), callingAnOperator(directory.resolve(file)));
        TestBundles.rehash(directory, file);
        ModelBundle bundle = ModelBundle.load(directory);
        assertThatThrownBy(() -> DenseModel.load(bundle, CPU))
                .isInstanceOf(BundleException.class)
                .hasMessage("bundle tiny 1.0.0: variant cpu-fp32 does not run: Unknown builtin op: uplift::attend."
                        + " (expected: the operators of this bundle, from the library in PYTORCH_EXTRA_LIBRARY_PATH)");
    }

    /** A library that every JDK has, under the operators' name. */
    private Path anyLibrary() throws Exception {
        Path home = Path.of(System.getProperty("java.home"), "lib", System.mapLibraryName("java"));
        return Files.copy(home, temporary.resolve("libuplift_operators.so"));
    }

    private Path tinyWithOperators(String upsampler) throws Exception {
        Path bundle = TestBundles.copyOfTiny(temporary);
        TestBundles.editManifest(bundle, root -> variant(root)
                .putObject("operators")
                .put("upsampler", upsampler)
                .put("library", "uplift_operators"));
        return bundle;
    }

    private static ObjectNode variant(ObjectNode root) {
        return (ObjectNode) root.withArray("/variants").get(0);
    }

    /** A TorchScript file, one call of which is changed to an operator. */
    private static byte[] callingAnOperator(Path graph) throws Exception {
        ByteArrayOutputStream edited = new ByteArrayOutputStream();
        try (ZipFile in = new ZipFile(graph.toFile());
                ZipOutputStream out = new ZipOutputStream(edited)) {
            for (ZipEntry entry : Collections.list(in.entries())) {
                byte[] content = in.getInputStream(entry).readAllBytes();
                if (entry.getName().endsWith(".py")) {
                    content = new String(content, UTF_8)
                            .replaceFirst("torch\\.contiguous\\(", "ops.uplift.attend(")
                            .getBytes(UTF_8);
                }
                CRC32 crc = new CRC32();
                crc.update(content);
                ZipEntry stored = new ZipEntry(entry.getName());
                stored.setMethod(ZipEntry.STORED);
                stored.setSize(content.length);
                stored.setCrc(crc.getValue());
                out.putNextEntry(stored);
                out.write(content);
            }
        }
        return edited.toByteArray();
    }
}
