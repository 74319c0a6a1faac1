package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.chaos.Chaos;
import io.upliftstream.tools.chaos.ChaosOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift chaos}. */
@Command(
        name = "chaos",
        description =
                "Kills processes at random while frames flow, and checks the account at the end. Starts ZooKeeper, a"
                        + " Kafka broker, a JobManager (high availability on) and two TaskManagers as processes of their own on this"
                        + " machine; kills them in random order as kill -9 does, and starts them again at once. The next kill waits"
                        + " until results of every camera come again.",
        footer = {
            "",
            "Examples:",
            "  uplift chaos --minutes 5                four TaskManagers, a JobManager and a broker",
            "  uplift chaos --minutes 15 --taskmanagers 20 --jobmanagers 5 --brokers 3",
            "  uplift chaos --mode live                at least once: repeats are told by their source offset",
            "",
            "The report says of every kill how long there was, at worst, no new result of a camera.",
            "",
            "Exit code 0 if lossless: every frame ended exactly once under read_committed, in order per camera; live: at",
            "least once. Leaves chaos.json and chaos.md, with the silence after every kill, and what the processes said, in",
            "the output directory."
        })
final class ChaosCommand implements Callable<Integer> {
    @Option(
            names = "--minutes",
            paramLabel = "N",
            defaultValue = "5",
            description =
                    "Over which the kills are spread, longer if recovery takes it; 0: one after the other as soon as"
                            + " results come again. Default: ${DEFAULT-VALUE}.")
    private double minutes;

    @Option(
            names = "--taskmanagers",
            paramLabel = "N",
            defaultValue = "4",
            description = "Kills of a TaskManager; default: ${DEFAULT-VALUE}.")
    private int taskManagers;

    @Option(
            names = "--jobmanagers",
            paramLabel = "N",
            defaultValue = "1",
            description = "Kills of the JobManager; default: ${DEFAULT-VALUE}.")
    private int jobManagers;

    @Option(
            names = "--brokers",
            paramLabel = "N",
            defaultValue = "1",
            description = "Kills of the broker; default: ${DEFAULT-VALUE}.")
    private int brokers;

    @Option(
            names = "--mode",
            paramLabel = "MODE",
            defaultValue = "lossless",
            description = "lossless or live; default: ${DEFAULT-VALUE}.")
    private ServingOptions.Mode mode = ServingOptions.Mode.LOSSLESS;

    @Option(
            names = "--cameras",
            paramLabel = "N",
            defaultValue = "4",
            description = "Cameras that take turns; default: ${DEFAULT-VALUE}.")
    private int cameras;

    @Option(
            names = "--fps",
            paramLabel = "F",
            defaultValue = "20",
            description = "Frames per second of all cameras together; default: ${DEFAULT-VALUE}.")
    private double framesPerSecond;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "1",
            description = "Of order and times of the kills; default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--bundle",
            paramLabel = "DIR",
            description = "Model bundle; default: the tests' tiny one, for it is not the model that is tried.")
    private @Nullable Path bundle;

    @Option(
            names = "--output",
            paramLabel = "DIR",
            defaultValue = "out/chaos",
            description = "Where the report goes; default: ${DEFAULT-VALUE}.")
    private Path output = Path.of("out", "chaos");

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "An option of the job; repeatable.")
    private List<String> set = new ArrayList<>();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        checks.require(minutes >= 0, "--minutes", minutes, "0 or more");
        checks.require(taskManagers >= 0, "--taskmanagers", taskManagers, "0 or more");
        checks.require(jobManagers >= 0, "--jobmanagers", jobManagers, "0 or more");
        checks.require(brokers >= 0, "--brokers", brokers, "0 or more");
        checks.require(cameras >= 2 && cameras <= 64, "--cameras", cameras, "2 to 64");
        checks.require(framesPerSecond > 0, "--fps", framesPerSecond, "above 0");
        Path home = Path.of(System.getProperty(ModelOption.HOME, "."));
        if (!Files.exists(home.resolve("pom.xml"))) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "chaos: %s is no checkout (expected: one, whose build its processes run)".formatted(home));
        }
        Path model = bundle != null ? bundle : home.resolve(Path.of("model", "src", "test", "resources", "tiny"));
        List<String> assignments = new ArrayList<>(List.of(
                ServingOptions.MODEL_BUNDLE.key() + "=" + model.toAbsolutePath().normalize(),
                // Results of a lossless run appear with checkpoints.
                ServingOptions.CHECKPOINT_INTERVAL.key() + "=1 s"));
        assignments.addAll(set);
        checks.writable("--output", output);
        JobSettings settings = JobSettings.load(null, Map.of(), assignments); // before anything starts, and the bundle
        ModelBundle.load(settings.bundle());
        boolean holds = Chaos.run(
                new ChaosOptions(
                        home,
                        mode,
                        minutes,
                        taskManagers,
                        jobManagers,
                        brokers,
                        cameras,
                        framesPerSecond,
                        seed,
                        output,
                        assignments),
                System.out::println);
        System.out.println(
                holds
                        ? mode == ServingOptions.Mode.LOSSLESS
                                ? "Every frame ended exactly once, in order per camera."
                                : "Every frame ended at least once, in order per camera."
                        : "The account does NOT hold.");
        return holds ? 0 : 1;
    }
}
