package io.upliftstream.tools.cli;

import io.upliftstream.model.ModelOptions;
import io.upliftstream.tools.bench.ModelBench;
import io.upliftstream.tools.bench.ModelReport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench model}. */
@Command(
        name = "model",
        description = "How fast the model runs, stage by stage, what the JVM adds, its memory, and its share of what"
                + " matrix products reach; beside other bundles in the same run, in turns.")
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchModelCommand implements Callable<Integer> {
    @Mixin
    private ModelOption model = new ModelOption();

    @Option(
            names = "--against",
            paramLabel = "DIR[:P]",
            description = "Another bundle to compare with, or the same at another precision; repeatable.")
    private @Nullable List<String> against;

    @Option(
            names = "--batch",
            paramLabel = "N",
            defaultValue = "0",
            description = "Frames of one call, at most the bundle's; default: what the job would choose.")
    private int batch;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "15",
            description = "Rounds over all bundles, of which the median counts; default:" + " ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(
            names = "--gflop",
            paramLabel = "G",
            defaultValue = "0",
            description = "Billions of operations that one frame takes, for the share of the matrix peak;"
                    + " 384 for DINOv2-S/14 and UPLiFT at 448x448.")
    private double gflop;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        json.check(checks);
        checks.require(batch >= 0 && batch <= 1024, "--batch", batch, "1 to 1024, or 0 to choose");
        checks.require(rounds >= 1 && rounds <= 10_000, "--rounds", rounds, "1 to 10000");
        checks.require(gflop >= 0, "--gflop", gflop, "above 0");
        List<ModelBench.Contender> contenders = new ArrayList<>();
        contenders.add(new ModelBench.Contender(model.bundle(), model.options()));
        for (String other : against == null ? List.<String>of() : against) {
            int colon = Files.isDirectory(Path.of(other)) ? -1 : other.lastIndexOf(':');
            ModelOptions options = colon < 0 ? model.options() : model.options(other.substring(colon + 1));
            contenders.add(new ModelBench.Contender(Path.of(colon < 0 ? other : other.substring(0, colon)), options));
        }
        ModelReport report =
                ModelBench.run(new ModelBench.Options(contenders, batch, rounds, gflop), System.out::println);
        System.out.println(report);
        json.write(report);
        return 0;
    }
}
