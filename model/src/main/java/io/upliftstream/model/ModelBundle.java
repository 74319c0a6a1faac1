package io.upliftstream.model;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A model on disk: a directory with {@code manifest.json}, TorchScript files for several devices and precisions, labels
 * and golden outputs.
 *
 * @param sha256 of manifest.json, lower-case hexadecimal; as the manifest lists every hash, it stands for the bundle
 * @param labels the classes of the segmentation heads; empty if there is no such head
 */
public record ModelBundle(
        String sha256,
        String name,
        String version,
        String description,
        String license,
        InputSpec input,
        Backbone backbone,
        Upsampler upsampler,
        List<HeadSpec> heads,
        List<Variant> variants,
        List<Label> labels,
        Golden golden) {
    /** The manifest format that is read. */
    public static final String FORMAT = "uplift-bundle/1";

    /** The network that turns pixels into patch features: {@code channels} numbers per square of {@code patch} pixels. */
    public record Backbone(String kind, int channels, int patch) {}

    /**
     * The upsampler in the graphs.
     *
     * @param kind {@code uplift}, or the name of another method
     * @param steps UPLiFT's doublings; 0 if it is another kind
     * @param neighbours the patches that each of UPLiFT's steps attends over; 0 if it is another kind
     */
    public record Upsampler(String kind, int steps, int neighbours) {
        static final String UPLIFT = "uplift";
    }

    /**
     * TorchScript for one device ({@code cpu} or {@code cuda}) and precision ({@code fp32}, {@code bf16}, {@code fp16}, or
     * {@code int8}, which is that of the upsampler's convolutions).
     *
     * @param operators the upsampler once more, calling the operators of {@code model/cuda}; null where there is none
     */
    public record Variant(
            String name,
            String device,
            String precision,
            BundleFile backbone,
            BundleFile upsampler,
            @Nullable BundleFile operators,
            Tolerance tolerance) {
        Variant withBackboneOf(Variant other) {
            String both = other.equals(this) ? name : name + "+" + other.name;
            return new Variant(both, device, precision, other.backbone, upsampler, operators, tolerance);
        }

        Variant withoutOperators() {
            return new Variant(name, device, precision, backbone, upsampler, null, tolerance);
        }
    }

    /** What must agree with the golden outputs: the share of equal labels, and the cosine of the other heads. */
    public record Tolerance(double labelAgreement, double cosine) {}

    /**
     * Frames with the outputs that the {@code cpu-fp32} variant gave in Python; raw little-endian files.
     *
     * @param outputs per head name
     */
    public record Golden(BundleFile frames, int count, Map<String, BundleFile> outputs) {}

    /**
     * Reads the bundle in {@code directory}, and checks every field of its manifest and the SHA-256 of every file that the
     * manifest lists.
     *
     * @throws BundleException if anything is missing, malformed or different from its hash; one sentence
     */
    public static ModelBundle load(Path directory) throws BundleException {
        return new BundleReader(directory).read();
    }

    @Override
    public String toString() {
        return name + " " + version;
    }
}
