package io.upliftstream.model;

import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * How far a model agrees here with the outputs that the bundle's author computed in Python for the same frames.
 *
 * @param variant that was run
 * @param labelAgreement of each segmentation head: the share of pixels with the same label
 * @param cosine of each other head: cosine similarity of the whole output, the least over the frames
 * @param tolerance what the bundle asks for at the variant's precision
 */
public record GoldenReport(
        String variant,
        Map<String, Double> labelAgreement,
        Map<String, Double> cosine,
        ModelBundle.Tolerance tolerance) {

    /** Whether every head is within the bundle's tolerance. */
    public boolean passed() {
        return labelAgreement.values().stream().allMatch(agreement -> agreement >= tolerance.labelAgreement())
                && cosine.values().stream().allMatch(value -> value >= tolerance.cosine());
    }

    @Override
    public String toString() {
        String labels = labelAgreement.entrySet().stream()
                .map(e -> String.format(
                        Locale.ROOT,
                        "%s labels agree %.5f (expected: >= %s)",
                        e.getKey(),
                        e.getValue(),
                        tolerance.labelAgreement()))
                .collect(Collectors.joining(", "));
        String cosines = cosine.entrySet().stream()
                .map(e -> String.format(
                        Locale.ROOT, "%s cosine %.5f (expected: >= %s)", e.getKey(), e.getValue(), tolerance.cosine()))
                .collect(Collectors.joining(", "));
        return variant + ": " + labels + (labels.isEmpty() || cosines.isEmpty() ? "" : ", ") + cosines;
    }
}
