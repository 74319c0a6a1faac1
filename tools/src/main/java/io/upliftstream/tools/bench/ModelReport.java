package io.upliftstream.tools.bench;

import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench model} found; times are medians of calls of all bundles in turns.
 *
 * @param processors of the machine
 * @param batch frames of one call
 */
public record ModelReport(int processors, int batch, List<Model> models) {
    /**
     * One bundle.
     *
     * @param stages of one call
     * @param framesPerSecond of the model alone, copies included
     * @param times how many times as fast the first bundle is
     * @param residentMegabytes the most of the process, JVM included, while this bundle was loaded and ran alone; null
     *     where the system does not say
     * @param matrixPeak what matrix products reach at the bundle's precision (for int8: fp32), in GFLOP/s
     * @param matrixShare of that peak, if the frame's operations are given; not of int8, which that peak does not bound
     * @param overheadMillis of one frame through the service: everything but decoding and the two graphs
     * @param overheadShare of the two graphs' time
     */
    public record Model(
            String name,
            String variant,
            Stages stages,
            double framesPerSecond,
            double times,
            @Nullable Double residentMegabytes,
            double matrixPeak,
            @Nullable Double matrixShare,
            double overheadMillis,
            double overheadShare) {}

    /**
     * Milliseconds.
     *
     * @param input making arrays of the frames
     * @param output checking the outputs and copying them to the heap
     * @param calls of two empty graphs: what DJL, JNI and TorchScript's interpreter add to the two of the model
     * @param scheduling a frame alone in the service, less decoding and the model: its queues, threads and checks
     */
    public record Stages(
            double input, double backbone, double upsampler, double output, double calls, double scheduling) {}

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (Model model : models) {
            Stages stages = model.stages;
            text.append(String.format(
                    Locale.ROOT,
                    """
                    %s, %s: %.2f frames/s in batches of %d; the first is %.2f times as fast
                      backbone %.1f ms, upsampler and heads %.1f ms
                      around them %.2f ms, %.2f %%: input %.3f, output %.3f, DJL and JNI %.3f, scheduling %.3f
                      matrix products reach %.0f GFLOP/s%s%s
                    """,
                    model.name,
                    model.variant,
                    model.framesPerSecond,
                    batch,
                    model.times,
                    stages.backbone,
                    stages.upsampler,
                    model.overheadMillis,
                    100 * model.overheadShare,
                    stages.input,
                    stages.output,
                    stages.calls,
                    stages.scheduling,
                    model.matrixPeak,
                    model.matrixShare == null
                            ? ""
                            : String.format(
                                    Locale.ROOT, ", of which the model reaches %.0f %%", 100 * model.matrixShare),
                    model.residentMegabytes == null
                            ? ""
                            : String.format(
                                    Locale.ROOT, "; resident memory at most %.0f MB", model.residentMegabytes)));
        }
        return text.toString().stripTrailing();
    }
}
