package io.upliftstream.tools.cli;

import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.tools.bench.ScaleBench;
import io.upliftstream.tools.bench.ScaleOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench scale}. */
@Command(
        name = "scale",
        description = {
            "What a camera costs, from one to a thousand: latency, processor time per frame, heap, metrics, fairness,"
                    + " checkpoints, and how a job starts with a backlog. Broker, JobManager and TaskManagers are processes of"
                    + " their own; the processor time of a frame is that of the TaskManagers.",
            "",
            "The loads: shared, one rate of all cameras together, which numbers of cameras share in turns on one job; each,"
                    + " one rate of every camera; overload, twice what the job can take, in live mode. Leaves scale.json,"
                    + " scale.md, scale.png and the processes' logs in the output directory."
        },
        footer = {
            "",
            "Examples:",
            "  uplift bench scale                                          eight minutes on two quiet cores",
            "  uplift bench scale --partitions 16 --taskmanagers 1 --rounds 1 --seconds 5   a first look",
            "  uplift bench scale --cameras 10,1000 --rounds 9             the ratio of the costs, more exactly",
            "  uplift bench scale --bundle model/bundles/street            with a model",
        })
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchScaleCommand implements Callable<Integer> {
    @Option(
            names = "--bundle",
            paramLabel = "DIR",
            description = "Model bundle; default: none, an engine that decodes frames and gives all of them the same"
                    + " labels.")
    private @Nullable Path bundle;

    @Option(
            names = "--cameras",
            split = ",",
            paramLabel = "N",
            description = "Numbers of cameras, 1 to 1000, ascending; each sends at least one frame a round. Default:"
                    + " 1,10,100,1000, with a model 1,10,100.")
    private @Nullable List<Integer> cameras;

    @Option(
            names = "--partitions",
            split = ",",
            paramLabel = "N",
            defaultValue = "16,1,64",
            description =
                    "Partitions of each topic, 1 to 64: the first with every number of cameras, the others with the"
                            + " most; default: ${DEFAULT-VALUE}.")
    private List<Integer> partitions;

    @Option(
            names = "--taskmanagers",
            split = ",",
            paramLabel = "N",
            defaultValue = "1,2,4",
            description = "TaskManagers of one slot, 1 to 4, likewise; default: ${DEFAULT-VALUE}.")
    private List<Integer> taskManagers;

    @Option(
            names = "--rate",
            paramLabel = "F",
            description = "Frames per second of all cameras together; default: 200, with a model 2.")
    private @Nullable Double rate;

    @Option(
            names = "--each",
            paramLabel = "F",
            description =
                    "Frames per second of each of the most cameras, 0 for no such load; default: 1, with a model 0.")
    private @Nullable Double each;

    @Option(
            names = "--backlog",
            paramLabel = "N",
            description = "Frames that wait when the job is started again; default: 5000, with a model 50.")
    private @Nullable Long backlog;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "3",
            description = "Rounds, of which the median counts; default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "8",
            description = "For which each load is sent, three times as long for overload; default: ${DEFAULT-VALUE}.")
    private double seconds;

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "160x96",
            converter = Size.Converter.class,
            description = "Size of the synthetic frames; default: ${DEFAULT-VALUE}.")
    private Size size;

    @Option(
            names = "--output",
            paramLabel = "DIR",
            defaultValue = "out/scale",
            description = "Where the report goes; default: ${DEFAULT-VALUE}.")
    private Path output;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description =
                    "An option of the job, such as uplift.queue.capacity=8; repeatable. Checkpoints are made every 5 s"
                            + " unless this says otherwise.")
    private @Nullable List<String> set;

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        boolean idle = bundle == null;
        List<Integer> numbers = cameras != null ? cameras : idle ? List.of(1, 10, 100, 1000) : List.of(1, 10, 100);
        requireAll("--cameras", numbers, 1000);
        requireAll("--partitions", partitions, 64);
        requireAll("--taskmanagers", taskManagers, 4);
        checks.require(
                numbers.stream().sorted().distinct().toList().equals(numbers),
                "--cameras",
                numbers,
                "ascending numbers");
        checks.require(rate == null || rate > 0, "--rate", rate, "above 0");
        checks.require(each == null || each >= 0, "--each", each, "0 or more");
        checks.require(backlog == null || backlog >= 1, "--backlog", backlog, "1 or more");
        checks.require(rounds >= 1 && rounds <= 100, "--rounds", rounds, "1 to 100");
        checks.require(seconds > 0, "--seconds", seconds, "above 0");
        Path home = Path.of(System.getProperty(ModelOption.HOME, "."));
        if (!Files.exists(home.resolve("pom.xml"))) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "bench scale: %s is no checkout (expected: one, whose build its processes run)".formatted(home));
        }
        checks.writable("--output", output);
        Path model = bundle != null ? bundle : home.resolve(Path.of("model", "bundles", "street"));
        List<String> assignments = new ArrayList<>(List.of(
                ServingOptions.MODEL_BUNDLE.key() + "=" + model.toAbsolutePath().normalize(),
                ServingOptions.CHECKPOINT_INTERVAL.key() + "=5 s"));
        assignments.addAll(set == null ? List.of() : set);
        boolean holds = ScaleBench.run(
                new ScaleOptions(
                        home,
                        idle,
                        numbers,
                        partitions,
                        taskManagers,
                        rounds,
                        seconds,
                        rate != null ? rate : idle ? 200 : 2,
                        each != null ? each : idle ? 1 : 0,
                        backlog != null ? backlog : idle ? 5000 : 50,
                        size.width(),
                        size.height(),
                        output,
                        assignments),
                System.out::println,
                StopSignals::endWith);
        System.out.println((holds ? "Every frame ended exactly once" : "The accounts do NOT hold") + ": see "
                + output.resolve("scale.md") + " and " + output.resolve("scale.png"));
        return holds ? 0 : 1;
    }

    private void requireAll(String option, List<Integer> values, int most) {
        checks.require(
                values.stream().allMatch(value -> value >= 1 && value <= most), option, values, "each 1 to " + most);
    }
}
