package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.upliftstream.model.DenseModel.Placement;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
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
    void placesTheModelByWhatTheMachineHas() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.STREET);
        assertThat(place(bundle, "auto", "auto", 0).variant().name()).isEqualTo("cpu-fp32");
        assertThat(place(bundle, "auto", "auto", 0).reason()).contains("no usable GPU", "no bf16 instructions");
        assertThat(place(bundle, "auto", "auto", 0, "amx_bf16").variant().name())
                .isEqualTo("cpu-bf16");
        assertThat(place(bundle, "cpu", "auto", 1, "avx512_bf16").variant().name())
                .isEqualTo("cpu-bf16");
        assertThat(place(bundle, "cpu", "fp32", 1, "amx_bf16").variant().name()).isEqualTo("cpu-fp32");
        assertThat(place(bundle, "cpu", "bf16", 0).variant().name()).isEqualTo("cpu-bf16");
        Placement int8 = place(bundle, "cpu", "int8", 0);
        assertThat(int8.variant().name()).isEqualTo("cpu-int8");
        assertThat(int8.variant().backbone()).isEqualTo(TestBundles.STREET.resolve("cpu-fp32/backbone.pt"));
        Placement int8WithBf16 = place(bundle, "cpu", "int8", 0, "avx512_bf16");
        assertThat(int8WithBf16.variant().name()).isEqualTo("cpu-int8+cpu-bf16");
        assertThat(int8WithBf16.variant().upsampler()).isEqualTo(int8.variant().upsampler());
        assertThat(int8WithBf16.variant().backbone()).isEqualTo(TestBundles.STREET.resolve("cpu-bf16/backbone.pt"));
        assertThat(place(bundle, "auto", "auto", 1)).extracting(Placement::gpu).isEqualTo(0);
        assertThat(place(bundle, "cuda:1", "auto", 2).variant().name()).isEqualTo("cuda-fp16");
        assertThat(place(bundle, "cuda:1", "auto", 2).gpu()).isEqualTo(1);
    }

    @Test
    void neverRunsOnTheCpuWhenAGpuWasAsked() throws Exception {
        ModelBundle street = ModelBundle.load(TestBundles.STREET);
        ModelBundle tiny = ModelBundle.load(TestBundles.TINY);
        assertThatThrownBy(() -> place(street, "cuda", "auto", 0))
                .isInstanceOf(BundleException.class)
                .hasMessage(
                        "device cuda: PyTorch can use 0 GPUs here (expected: at least 1, and a CUDA build of PyTorch)");
        assertThatThrownBy(() -> place(street, "cuda:2", "auto", 2)).hasMessageContaining("expected: at least 3");
        assertThatThrownBy(() -> place(tiny, "cuda", "auto", 1))
                .hasMessage("bundle tiny 1.0.0: no variant for cuda at precision auto (found: cpu-fp32)");
        assertThatThrownBy(() -> place(tiny, "cpu", "fp16", 0)).hasMessageContaining("for cpu at precision fp16");
        assertThat(place(tiny, "auto", "auto", 1).reason()).contains("no variant for the GPU");
    }

    @Test
    void refusesOptionsThatMakeNoSense() {
        assertThatThrownBy(() -> new ModelOptions("gpu", "auto", 0))
                .hasMessage("device: gpu (expected: auto, cpu, cuda or cuda:n)");
        assertThatThrownBy(() -> new ModelOptions("cpu", "int4", 0)).hasMessageContaining("precision: int4");
        assertThatThrownBy(() -> new ModelOptions("cpu", "auto", -1)).hasMessageContaining("threads: -1");
    }

    private static Placement place(ModelBundle bundle, String device, String precision, int gpus, String... cpuFlags)
            throws BundleException {
        return DenseModel.place(bundle, new ModelOptions(device, precision, 0), gpus, Set.of(cpuFlags));
    }
}
