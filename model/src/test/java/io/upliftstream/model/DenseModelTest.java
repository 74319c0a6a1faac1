package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assumptions.assumeThat;

import ai.djl.Device;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DenseModelTest {
    private static final ModelOptions CPU = new ModelOptions("cpu", "fp32", 0);

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path temporary;

    /** The shipped bundle, the same bytes and variants as Python ran when the golden outputs were written. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "bf16"})
    void agreesWithPython(String precision) throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.STREET);
        try (DenseModel model = DenseModel.load(bundle, new ModelOptions("cpu", precision, 0))) {
            GoldenReport report = model.verify();
            assertThat(report.variant()).isEqualTo(model.variant().name());
            assertThat(model.variant().precision()).isEqualTo(precision);
            assertThat(report.labelAgreement()).isNotEmpty();
            assertThat(report.cosine()).isNotEmpty();
            double least = precision.equals("fp32") ? 0.999 : 0.99;
            assertThat(report.labelAgreement().values()).allMatch(agreement -> agreement >= least);
            assertThat(report.cosine().values()).allMatch(cosine -> cosine >= 0.999);
            assertThat(report.passed()).isTrue();
        }
    }

    /** Other builds of PyTorch may not have the operator. */
    @Test
    @EnabledOnOs(architectures = {"amd64", "x86_64"})
    void agreesWithPythonInIntegers() throws Exception {
        agreesWithPython("int8");
    }

    @Test
    void aGpuThatIsLostAnswersNothing() {
        PyTorch.start(0);
        assumeThat(PyTorch.gpus()).isZero();
        assertThat(PyTorch.answers(Device.cpu())).isTrue();
        assertThat(PyTorch.answers(Device.gpu(0))).isFalse();
    }

    @Test
    void answersEveryFrameOfABatchAsItWouldAlone() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.TINY);
        InputSpec input = bundle.input();
        try (DenseModel model = DenseModel.load(bundle, new ModelOptions("cpu", "fp32", 0, 3))) {
            byte[] frames = Files.readAllBytes(TestBundles.TINY.resolve("golden/frames.bin"));
            ByteBuffer batch = ByteBuffer.allocateDirect(frames.length).put(frames);
            List<DenseOutput> together = model.infer(batch, 3);
            assertThat(together).hasSize(3);
            for (int i = 0; i < 3; i++) {
                ByteBuffer one = ByteBuffer.allocateDirect(input.frameBytes());
                one.put(0, frames, i * input.frameBytes(), input.frameBytes());
                List<HeadOutput> alone = model.infer(one, 1).get(0).heads();
                List<HeadOutput> heads = together.get(i).heads();
                assertThat(heads).extracting(HeadOutput::head).isEqualTo(bundle.heads());
                for (int h = 0; h < heads.size(); h++) {
                    assertThat(heads.get(h).toFloats())
                            .containsExactly(alone.get(h).toFloats(), within(1e-6f));
                }
                assertThat(heads.get(0).confidence())
                        .isNotNull()
                        .isEqualTo(alone.get(0).confidence());
                assertThat(heads.get(1).confidence()).isNull();
            }
        }
    }

    @Test
    void holdsNoNativeArraysBetweenCalls() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.TINY);
        try (DenseModel model = DenseModel.load(bundle, CPU)) {
            ByteBuffer frame = ByteBuffer.allocateDirect(bundle.input().frameBytes());
            ByteBuffer raises =
                    ByteBuffer.allocateDirect(bundle.input().frameBytes()).put(0, (byte) 253);
            for (int i = 0; i < 300; i++) {
                model.infer(frame, 1);
                if (i % 50 == 0) {
                    assertThatThrownBy(() -> model.infer(raises, 1)).hasMessageContaining("the first byte is 253");
                }
            }
            assertThat(model.heldArrays()).isZero();
        }
    }

    @Test
    void refusesInputOfTheWrongSize() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.TINY);
        try (DenseModel model = DenseModel.load(bundle, CPU)) {
            ByteBuffer frame = ByteBuffer.allocateDirect(bundle.input().frameBytes());
            assertThatThrownBy(() -> model.infer(frame, 0)).hasMessage("batch size: 0 (expected: 1 to 1)");
            assertThatThrownBy(() -> model.infer(frame, 2)).hasMessage("batch size: 2 (expected: 1 to 1)");
            assertThatThrownBy(() -> model.infer(ByteBuffer.allocateDirect(7), 1))
                    .hasMessage("input: direct buffer of 7 bytes (expected: direct, at least 384)");
            assertThatThrownBy(() -> model.infer(ByteBuffer.allocate(384), 1)).hasMessageContaining("heap buffer");
        }
    }

    @Test
    void refusesAModelThatDoesNotGiveItsGoldenOutputs() throws Exception {
        Path directory = TestBundles.copyOfTiny(temporary);
        Path golden = directory.resolve("golden/classes.bin");
        byte[] labels = Files.readAllBytes(golden);
        for (int i = 0; i < 4; i++) { // 4 of 384 pixels: 1.04 %
            labels[i] = (byte) ((labels[i] + 1) % 3);
        }
        Files.write(golden, labels);
        TestBundles.rehash(directory, "golden/classes.bin");
        ModelBundle bundle = ModelBundle.load(directory);
        assertThatThrownBy(() -> DenseModel.load(bundle, CPU))
                .isInstanceOf(BundleException.class)
                .hasMessageContaining(
                        "the golden check fails: cpu-fp32: classes labels agree 0.98958 (expected: >= 0.999)");
    }

    @Test
    void aFileThatIsNoTorchScriptIsOneSentence() throws Exception {
        Path directory = TestBundles.copyOfTiny(temporary);
        TestBundles.editManifest(directory, root -> {
            ObjectNode variant = (ObjectNode) root.withArray("/variants").get(0);
            variant.put("backbone", "labels.json");
        });
        ModelBundle bundle = ModelBundle.load(directory);
        assertThatThrownBy(() -> DenseModel.load(bundle, CPU))
                .isInstanceOf(BundleException.class)
                .hasMessageStartingWith("bundle tiny 1.0.0: variant cpu-fp32 does not run: ")
                .hasMessageNotContaining("\n");
    }

    @Test
    void refusesOptionsThatMakeNoSense() {
        assertThatThrownBy(() -> new ModelOptions("gpu", "auto", 0))
                .hasMessage("device: gpu (expected: auto, cpu, cuda or cuda:n)");
        assertThatThrownBy(() -> new ModelOptions("cpu", "int4", 0)).hasMessageContaining("precision: int4");
        assertThatThrownBy(() -> new ModelOptions("cpu", "auto", -1)).hasMessageContaining("threads: -1");
    }
}
