package io.upliftstream.model;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** Runs a bundle's golden frames, one at a time, and compares the outputs with those that the bundle's author computed. */
final class GoldenCheck {
    private GoldenCheck() {}

    /** How far the outputs of a model agree with the golden ones. */
    static GoldenReport run(DenseModel model) {
        ModelBundle bundle = model.bundle();
        ModelBundle.Golden golden = bundle.golden();
        Map<String, Double> agreement = new LinkedHashMap<>();
        Map<String, Double> cosine = new LinkedHashMap<>();
        int frameBytes = bundle.input().frameBytes();
        try {
            byte[] frames = golden.frames().read();
            Map<String, byte[]> expected = new LinkedHashMap<>();
            for (HeadSpec head : bundle.heads()) {
                expected.put(
                        head.name(),
                        Objects.requireNonNull(golden.outputs().get(head.name()))
                                .read());
            }
            ByteBuffer rgb = ByteBuffer.allocateDirect(frameBytes);
            for (int i = 0; i < golden.count(); i++) {
                rgb.put(0, frames, i * frameBytes, frameBytes);
                for (HeadOutput found : model.infer(rgb, 1).get(0).heads()) {
                    HeadSpec head = found.head();
                    ByteBuffer wanted =
                            ByteBuffer.wrap(expected.get(head.name()), i * head.frameBytes(), head.frameBytes());
                    float[] reference = new HeadOutput(head, wanted.slice(), null).toFloats();
                    if (head.kind() == HeadKind.SEGMENTATION) {
                        double share = agreement(found.toFloats(), reference) / golden.count();
                        agreement.merge(head.name(), share, Double::sum);
                    } else {
                        cosine.merge(head.name(), cosine(found.toFloats(), reference), Math::min);
                    }
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException("the golden outputs cannot be read: " + e, e);
        }
        return new GoldenReport(
                model.variant().name(), agreement, cosine, model.variant().tolerance());
    }

    private static double agreement(float[] a, float[] b) {
        int equal = 0;
        for (int i = 0; i < a.length; i++) {
            equal += a[i] == b[i] ? 1 : 0;
        }
        return (double) equal / a.length;
    }

    private static double cosine(float[] a, float[] b) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.length; i++) {
            ab += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return aa == 0 && bb == 0 ? 1 : ab / Math.sqrt(aa * bb);
    }
}
