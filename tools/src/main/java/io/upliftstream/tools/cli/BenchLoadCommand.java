package io.upliftstream.tools.cli;

import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.bench.LoadBench;
import io.upliftstream.tools.bench.LoadOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench load}. */
@Command(
        name = "load",
        description = "First measures capacity and service time, then runs every policy under every load, open loop:"
                + " frames are sent on schedule, and latency counts from there to the record on the topic. Checks"
                + " that every frame ended exactly once. Leaves load.csv, load.json, load-samples.csv and load.png"
                + " in the output directory.")
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchLoadCommand implements Callable<Integer> {
    @Mixin
    private ModelOption model = new ModelOption();

    @Option(names = "--kafka", paramLabel = "HOST:PORT", description = "Brokers; default: one in this process.")
    private @Nullable String kafka;

    @Option(
            names = "--modes",
            split = ",",
            paramLabel = "MODE",
            defaultValue = "live,lossless",
            description = "Policies; default: ${DEFAULT-VALUE}.")
    private List<ServingOptions.Mode> modes;

    @Option(
            names = "--loads",
            split = ",",
            paramLabel = "X",
            defaultValue = "0.5,0.9,1,2,5,10",
            description = "Offered loads in multiples of the capacity; default: ${DEFAULT-VALUE}.")
    private List<Double> loads;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "60",
            description = "How long frames are published under each load; default: ${DEFAULT-VALUE}. In"
                    + " lossless mode what is left after that is waited for.")
    private double seconds;

    @Option(
            names = "--sample-seconds",
            paramLabel = "S",
            defaultValue = "10",
            description = "Time between two looks at the process's memory; default: ${DEFAULT-VALUE}.")
    private double sampleSeconds;

    @Option(
            names = "--cameras",
            paramLabel = "N",
            defaultValue = "4",
            description = "Cameras that send, 1 to 1000, to a partition each or to 64; default: ${DEFAULT-VALUE}.")
    private int cameras;

    @Option(
            names = "--loud",
            paramLabel = "N",
            defaultValue = "1",
            description = "The first camera sends N times as many frames as each of the others; default:"
                    + " ${DEFAULT-VALUE}.")
    private int loud;

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "640x360",
            converter = Size.Converter.class,
            description = "Size of the synthetic frames; default: ${DEFAULT-VALUE}.")
    private Size size;

    @Option(
            names = "--packets",
            description = "Cameras send packets of H.264, a key frame every 32 pictures, rather than JPEGs.")
    private boolean packets;

    @Option(names = "--quick", description = "Short phases: to see that everything works.")
    private boolean quick;

    @Option(
            names = "--output",
            paramLabel = "DIR",
            defaultValue = "out/load",
            description = "Where the report goes; default: ${DEFAULT-VALUE}.")
    private Path output;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description = "An option of the job, such as uplift.max-age=500ms; repeatable.")
    private @Nullable List<String> set;

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        checks.require(
                loads.stream().allMatch(load -> load > 0 && load <= 100), "--loads", loads, "above 0, at most 100");
        checks.require(seconds > 0, "--seconds", seconds, "above 0");
        checks.require(sampleSeconds > 0, "--sample-seconds", sampleSeconds, "above 0");
        checks.require(cameras >= 1 && cameras <= 1000, "--cameras", cameras, "1 to 1000");
        checks.require(loud >= 1 && loud <= 100, "--loud", loud, "1 to 100");
        checks.writable("--output", output);
        List<String> assignments = new ArrayList<>(model.assignments());
        assignments.addAll(set == null ? List.of() : set);
        LoadOptions options = new LoadOptions(
                kafka,
                modes,
                loads,
                quick ? Math.min(seconds, 3) : seconds,
                quick ? 10 : 100,
                quick ? 2 : 20,
                quick ? Math.min(sampleSeconds, 1) : sampleSeconds,
                cameras,
                loud,
                packets,
                size.width(),
                size.height(),
                output,
                assignments);
        boolean holds = LoadBench.run(options, System.out::println);
        System.out.println((holds ? "Every frame ended exactly once" : "The accounts do NOT hold") + ": see "
                + output.resolve("load.csv") + " and " + output.resolve("load.png"));
        return holds ? 0 : 1;
    }
}
