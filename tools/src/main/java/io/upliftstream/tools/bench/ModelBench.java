package io.upliftstream.tools.bench;

import io.upliftstream.model.DenseModel;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.MatrixPeak;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.model.StageTimings;
import io.upliftstream.tools.bench.ModelReport.Model;
import io.upliftstream.tools.bench.ModelReport.Stages;
import io.upliftstream.tools.camera.SyntheticCamera;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** How fast bundles run, where their time goes, and what the JVM adds to it. */
public final class ModelBench {
    private static final int WARM_UP = 2;
    /** So many calls of an empty graph are timed; they take microseconds. */
    private static final int EMPTY_CALLS = 1001;

    private static final double PEAK_SECONDS = 1;

    /**
     * What to measure.
     *
     * @param contenders the first is compared with the others
     * @param batch frames of one call; 0 for what the product would choose
     * @param rounds over all bundles
     * @param gigaflop operations of one frame; 0 if not known
     */
    public record Options(List<Contender> contenders, int batch, int rounds, double gigaflop) {}

    /** A bundle, and where and how it runs; the size of its batches is {@link Options}'. */
    public record Contender(Path bundle, ModelOptions model) {}

    private ModelBench() {}

    /** Measures, and says on the way what it does. */
    public static ModelReport run(Options options, Consumer<String> say) throws Exception {
        for (Contender contender : options.contenders()) {
            ModelBundle.load(contender.bundle()); // before minutes are spent on another
        }
        List<@Nullable Double> resident = new ArrayList<>();
        List<Double> scheduling = new ArrayList<>();
        for (Contender contender : options.contenders()) {
            say.accept("one frame after the other through the service of " + contender.bundle());
            ProcessSample.forgetPeak();
            scheduling.add(schedulingMillis(contender, options.rounds()));
            resident.add(ProcessSample.peakResident());
        }
        List<DenseModel> models = new ArrayList<>();
        try {
            for (Contender contender : options.contenders()) {
                ModelOptions model = contender.model();
                models.add(DenseModel.load(
                        ModelBundle.load(contender.bundle()),
                        new ModelOptions(model.device(), model.precision(), model.threads(), options.batch())));
            }
            int batch = models.stream().mapToInt(DenseModel::maxBatch).min().orElseThrow();
            List<Peak> peaks = new ArrayList<>();
            for (DenseModel model : models) {
                say.accept(model.describe());
                peaks.add(Peak.of(model));
            }
            say.accept("%d rounds of all, in batches of %d".formatted(options.rounds(), batch));
            List<double[][]> times = inTurns(models, batch, options.rounds());
            List<Model> found = new ArrayList<>();
            double first = median(times.get(0), 4);
            for (int i = 0; i < models.size(); i++) {
                double[][] stages = times.get(i);
                double graphs = median(stages, 1) + median(stages, 2);
                double calls = 2 * peaks.get(i).emptyCallMillis();
                double overhead = median(stages, 0) + median(stages, 3) + calls + scheduling.get(i);
                double rate = 1e3 * batch / median(stages, 4);
                double peak = peaks.get(i).gigaflops();
                boolean share = options.gigaflop() > 0
                        && !models.get(i).variant().precision().equals("int8");
                found.add(new Model(
                        models.get(i).bundle().toString(),
                        models.get(i).variant().name(),
                        new Stages(
                                LoadReport.round(median(stages, 0)),
                                LoadReport.round(median(stages, 1)),
                                LoadReport.round(median(stages, 2)),
                                LoadReport.round(median(stages, 3)),
                                LoadReport.round(calls),
                                LoadReport.round(scheduling.get(i))),
                        LoadReport.round(rate),
                        LoadReport.round(median(stages, 4) / first),
                        resident.get(i),
                        LoadReport.round(peak),
                        share ? LoadReport.round(rate * options.gigaflop() / peak) : null,
                        LoadReport.round(overhead),
                        overhead / (graphs - calls)));
            }
            return new ModelReport(Runtime.getRuntime().availableProcessors(), batch, found);
        } finally {
            models.forEach(DenseModel::close);
        }
    }

    /** Milliseconds of input, backbone, upsampler, output and all of it, by model, stage and round. */
    private static List<double[][]> inTurns(List<DenseModel> models, int batch, int rounds) {
        List<ByteBuffer> frames = new ArrayList<>();
        List<double[][]> times = new ArrayList<>();
        for (DenseModel model : models) {
            byte[] noise = new byte[batch * model.bundle().input().frameBytes()];
            new Random(1).nextBytes(noise);
            frames.add(ByteBuffer.allocateDirect(noise.length).put(noise).clear());
            times.add(new double[5][rounds]);
        }
        for (int round = -WARM_UP; round < rounds; round++) {
            for (int i = 0; i < models.size(); i++) {
                DenseModel model = models.get(i);
                long start = System.nanoTime();
                DenseModel.CallTimings call = model.run(frames.get(i), batch).timings();
                long all = System.nanoTime() - start;
                if (model.variant().device().equals("cuda")) { // whose stages take longer one by one
                    call = model.runInStages(frames.get(i), batch).timings();
                }
                if (round >= 0) {
                    double[][] own = times.get(i);
                    own[0][round] = call.inputNanos() / 1e6;
                    own[1][round] = call.backboneNanos() / 1e6;
                    own[2][round] = call.upsamplerNanos() / 1e6;
                    own[3][round] = call.outputNanos() / 1e6;
                    own[4][round] = all / 1e6;
                }
            }
        }
        return times;
    }

    private static double median(double[][] stages, int stage) {
        return Turns.median(stages[stage]);
    }

    /** A frame that is alone in the service: its time less that of decoding and of the model. */
    private static double schedulingMillis(Contender contender, int rounds) throws Exception {
        byte[] image;
        try (SyntheticCamera street = new SyntheticCamera("bench", 20_900, 640, 360, 10, 0.75)) {
            image = street.next().image();
        }
        double[] millis = new double[rounds];
        try (DenseService service = DenseService.acquire(new ServiceOptions(contender.bundle(), contender.model()))) {
            for (int round = -WARM_UP; round < millis.length; round++) {
                long start = System.nanoTime();
                DenseResult result = service.submit(image).get();
                long all = System.nanoTime() - start;
                StageTimings timings = result.timings();
                if (round >= 0) {
                    millis[round] =
                            (all - timings.decodeNanos() - timings.backboneNanos() - timings.upsampleNanos()) / 1e6;
                }
            }
        }
        return Turns.median(millis);
    }

    /** What the process can do at a model's precision. */
    private record Peak(double gigaflops, double emptyCallMillis) {
        static Peak of(DenseModel model) {
            try (MatrixPeak products = new MatrixPeak(model)) {
                double gigaflops = products.gigaflops(1);
                // The best of a few, each of about the same time, however fast the machine is.
                int several = (int) Math.max(1, gigaflops * PEAK_SECONDS / 5 / MatrixPeak.GIGAFLOP);
                for (int i = 0; i < 5; i++) {
                    gigaflops = Math.max(gigaflops, products.gigaflops(several));
                }
                double[] calls = new double[EMPTY_CALLS];
                for (int i = 0; i < calls.length; i++) {
                    calls[i] = products.emptyCallNanos() / 1e6;
                }
                return new Peak(gigaflops, Turns.median(calls));
            }
        }
    }
}
