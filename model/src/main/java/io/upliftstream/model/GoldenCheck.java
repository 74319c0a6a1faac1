package io.upliftstream.model;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** Runs a bundle's golden frames and compares the outputs with those that the bundle's author computed. */
final class GoldenCheck {
    private final DenseModel model;
    private final ModelBundle.Golden golden;
    private final byte[] frames;
    private final Map<String, byte[]> expected = new LinkedHashMap<>();
    private final Map<String, Double> agreement = new LinkedHashMap<>();
    private final Map<String, Double> cosine = new LinkedHashMap<>();

    private GoldenCheck(DenseModel model) throws IOException {
        this.model = model;
        golden = model.bundle().golden();
        frames = golden.frames().read();
        for (HeadSpec head : model.bundle().heads()) {
            BundleFile outputs = Objects.requireNonNull(golden.outputs().get(head.name()));
            expected.put(head.name(), outputs.read());
        }
    }

    /**
     * How far the outputs of a model agree with the golden ones: each frame by itself; and in every larger batch that the model
     * has prepared, of which the worst counts, the last frame.
     */
    static GoldenReport run(DenseModel model) {
        try {
            GoldenCheck check = new GoldenCheck(model);
            for (int n = 1; n <= model.warmBatches(); n++) {
                check.batchesOf(n);
            }
            return new GoldenReport(
                    model.variant().name(),
                    check.agreement,
                    check.cosine,
                    model.variant().tolerance());
        } catch (IOException e) {
            throw new IllegalStateException("the golden outputs cannot be read: " + e, e);
        }
    }

    private void batchesOf(int n) {
        int frameBytes = model.bundle().input().frameBytes();
        ByteBuffer rgb = ByteBuffer.allocateDirect(n * frameBytes);
        int least = n == 1 ? golden.count() : 1;
        int calls = (least + model.lanes() - 1) / model.lanes() * model.lanes(); // lanes take turns
        Map<String, Double> equal = new LinkedHashMap<>();
        for (int call = 0; call < calls; call++) {
            for (int i = 0; i < n; i++) {
                rgb.put(i * frameBytes, frames, golden(call + i) * frameBytes, frameBytes);
            }
            for (HeadOutput found : model.infer(rgb, n).get(n - 1).heads()) {
                HeadSpec head = found.head();
                float[] wanted = expected(head, golden(call + n - 1));
                if (head.kind() == HeadKind.SEGMENTATION) {
                    equal.merge(head.name(), agreement(found.toFloats(), wanted) / calls, Double::sum);
                } else {
                    cosine.merge(head.name(), cosine(found.toFloats(), wanted), Math::min);
                }
            }
        }
        equal.forEach((head, share) -> agreement.merge(head, share, Math::min));
    }

    /** The golden frame in whose place a frame of many is. */
    private int golden(int frame) {
        return frame % golden.count();
    }

    private float[] expected(HeadSpec head, int frame) {
        byte[] outputs = Objects.requireNonNull(expected.get(head.name()));
        ByteBuffer wanted = ByteBuffer.wrap(outputs, frame * head.frameBytes(), head.frameBytes());
        return new HeadOutput(head, wanted.slice(), null).toFloats();
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
