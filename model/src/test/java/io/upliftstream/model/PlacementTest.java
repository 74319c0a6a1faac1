package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.Device;
import java.util.Set;
import org.junit.jupiter.api.Test;

class PlacementTest {
    @Test
    void placesTheModelByWhatTheMachineHas() throws Exception {
        ModelBundle bundle = ModelBundle.load(TestBundles.STREET);
        assertThat(choose(bundle, "auto", "auto", 0).variant().name()).isEqualTo("cpu-fp32");
        assertThat(choose(bundle, "auto", "auto", 0).reason()).contains("no usable GPU", "no bf16 instructions");
        assertThat(choose(bundle, "auto", "auto", 0, "amx_bf16").variant().name())
                .isEqualTo("cpu-bf16");
        assertThat(choose(bundle, "cpu", "auto", 1, "avx512_bf16").variant().name())
                .isEqualTo("cpu-bf16");
        assertThat(choose(bundle, "cpu", "fp32", 1, "amx_bf16").variant().name())
                .isEqualTo("cpu-fp32");
        assertThat(choose(bundle, "cpu", "bf16", 0).variant().name()).isEqualTo("cpu-bf16");
        Placement int8 = choose(bundle, "cpu", "int8", 0);
        assertThat(int8.variant().name()).isEqualTo("cpu-int8");
        assertThat(int8.variant().backbone().path())
                .isEqualTo(TestBundles.STREET.toAbsolutePath().resolve("cpu-fp32/backbone.pt"));
        Placement int8WithBf16 = choose(bundle, "cpu", "int8", 0, "avx512_bf16");
        assertThat(int8WithBf16.variant().name()).isEqualTo("cpu-int8+cpu-bf16");
        assertThat(int8WithBf16.variant().upsampler()).isEqualTo(int8.variant().upsampler());
        assertThat(int8WithBf16.variant().backbone().path())
                .isEqualTo(TestBundles.STREET.toAbsolutePath().resolve("cpu-bf16/backbone.pt"));
        assertThat(choose(bundle, "auto", "auto", 1).device()).isEqualTo(Device.gpu(0));
        assertThat(choose(bundle, "cuda:1", "auto", 2).variant().name()).isEqualTo("cuda-fp16");
        assertThat(choose(bundle, "cuda:1", "auto", 2).device()).isEqualTo(Device.gpu(1));
        assertThat(choose(bundle, "auto:1", "auto", 2).device()).isEqualTo(Device.gpu(1));
        assertThat(choose(bundle, "auto:1", "auto", 0).device()).isEqualTo(Device.cpu());
    }

    @Test
    void neverRunsOnTheCpuWhenAGpuWasAsked() throws Exception {
        ModelBundle street = ModelBundle.load(TestBundles.STREET);
        ModelBundle tiny = ModelBundle.load(TestBundles.TINY);
        assertThatThrownBy(() -> choose(street, "cuda", "auto", 0))
                .isInstanceOf(BundleException.class)
                .hasMessage(
                        "device cuda: PyTorch can use 0 GPUs here (expected: at least 1, and a CUDA build of PyTorch)");
        assertThatThrownBy(() -> choose(street, "cuda:2", "auto", 2)).hasMessageContaining("expected: at least 3");
        assertThatThrownBy(() -> choose(tiny, "cuda", "auto", 1))
                .hasMessage("bundle tiny 1.0.0: no variant for cuda at precision auto (found: cpu-fp32)");
        assertThatThrownBy(() -> choose(tiny, "cpu", "fp16", 0)).hasMessageContaining("for cpu at precision fp16");
        assertThat(choose(tiny, "auto", "auto", 1).reason()).contains("no variant for the GPU");
    }

    private static Placement choose(ModelBundle bundle, String device, String precision, int gpus, String... cpuFlags)
            throws BundleException {
        return Placement.choose(bundle, new ModelOptions(device, precision, 0), gpus, Set.of(cpuFlags));
    }
}
