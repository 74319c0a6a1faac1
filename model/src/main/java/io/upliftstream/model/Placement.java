package io.upliftstream.model;

import ai.djl.Device;
import io.upliftstream.model.ModelBundle.Variant;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The variant of a bundle to run, the device to run it on, and why. */
record Placement(Variant variant, Device device, String reason) {
    private static final Logger LOG = LoggerFactory.getLogger(Placement.class);

    /**
     * Chooses the variant that fits the options and this machine.
     *
     * @throws BundleException if there is none, or the device is not there
     */
    static Placement choose(ModelBundle bundle, ModelOptions options) throws BundleException {
        return choose(bundle, options, PyTorch.gpus(), cpuFlags());
    }

    /**
     * Chooses the variant for a machine.
     *
     * @param gpus that PyTorch can use
     * @param cpuFlags instruction sets of the CPU, as Linux names them
     */
    static Placement choose(ModelBundle bundle, ModelOptions options, int gpus, Set<String> cpuFlags)
            throws BundleException {
        boolean hasCudaVariant =
                bundle.variants().stream().anyMatch(variant -> variant.device().equals("cuda"));
        boolean auto = options.device().startsWith("auto");
        boolean cuda = auto ? gpus > 0 && hasCudaVariant : options.device().startsWith("cuda");
        if (!cuda) {
            boolean fast = Stream.of("amx_bf16", "avx512_bf16", "bf16").anyMatch(cpuFlags::contains);
            String instructions = fast ? "the CPU has bf16 instructions" : "the CPU has no bf16 instructions";
            String where = !auto ? "" : gpus == 0 ? "no usable GPU; " : "no variant for the GPU; ";
            Variant variant = variant(bundle, "cpu", options.precision(), fast ? "bf16" : "fp32", "fp32");
            if (fast && variant.precision().equals("int8")) {
                // int8 is the upsampler's precision; the backbone can have another.
                variant = variant.withBackboneOf(variant(bundle, "cpu", "auto", "bf16", "int8"));
            }
            return new Placement(variant, Device.cpu(), where + instructions);
        }
        int colon = options.device().indexOf(':');
        int gpu = colon < 0 ? 0 : Integer.parseInt(options.device().substring(colon + 1));
        if (gpu >= gpus) {
            throw new BundleException(
                    "device %s: PyTorch can use %d GPUs here (expected: at least %d, and a CUDA build of PyTorch)"
                            .formatted(options.device(), gpus, gpu + 1));
        }
        Variant variant = variant(bundle, "cuda", options.precision(), "fp16", "bf16", "fp32");
        return new Placement(variant, Device.gpu(gpu), gpus + " usable GPUs");
    }

    /** The bundle's variant for a device at the asked precision, or at the first of {@code preferred} that it has. */
    private static Variant variant(ModelBundle bundle, String device, String precision, String... preferred)
            throws BundleException {
        for (String wanted : precision.equals("auto") ? preferred : new String[] {precision}) {
            for (Variant variant : bundle.variants()) {
                if (variant.device().equals(device) && variant.precision().equals(wanted)) {
                    return variant;
                }
            }
        }
        List<String> names = bundle.variants().stream().map(Variant::name).toList();
        throw new BundleException("bundle %s: no variant for %s at precision %s (found: %s)"
                .formatted(bundle, device, precision, String.join(", ", names)));
    }

    private static Set<String> cpuFlags() {
        Path cpuinfo = Path.of("/proc/cpuinfo");
        try (Stream<String> lines = Files.exists(cpuinfo) ? Files.lines(cpuinfo) : Stream.empty()) {
            return lines.filter(line -> line.startsWith("flags") || line.startsWith("Features"))
                    .limit(1) // one core's
                    .flatMap(line -> Arrays.stream(line.toLowerCase(Locale.ROOT).split("\\s+")))
                    .collect(Collectors.toSet());
        } catch (IOException e) {
            LOG.warn("{} cannot be read; the CPU counts as one without bf16 instructions", cpuinfo, e);
            return Set.of();
        }
    }
}
