package io.upliftstream.tools.cli;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.job.StartupException;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.tools.chaos.Chaos;
import io.upliftstream.tools.chaos.ChaosOptions;
import io.upliftstream.tools.chaos.ClusterShape;
import io.upliftstream.tools.chaos.FaultKind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift chaos}. */
@Command(
        name = "chaos",
        description =
                "Does faults to a cluster while frames flow, and checks the account at the end. Starts ZooKeeper, Kafka"
                        + " brokers that hold every record three times, JobManagers (high availability on) and TaskManagers as"
                        + " processes of their own on this machine. The next fault waits until results of every camera come"
                        + " again.",
        footer = {
            "",
            "Families of faults:",
            "  kill      kill -9 of a TaskManager, JobManager, broker or ZooKeeper; started again at once",
            "  broker    one is stopped, and comes back later; one comes back with an empty disk",
            "  pause     SIGSTOP of a process for a while, then SIGCONT",
            "  network   a process cut off from all others, from one, in one direction; loss, a slow link, delay (root)",
            "  disk      full, read-only or slow, for checkpoints, the quarantine, a broker or ZooKeeper (root)",
            "  clock     of one process ten minutes ahead or behind, or gaining or losing 6 s a minute (libfaketime)",
            "  reader    of the results ends without a commit, and comes back",
            "  publisher ends with frames on the way, and comes back",
            "",
            "What this machine has not the means for is left out, and named.",
            "",
            "Examples:",
            "  uplift chaos --minutes 5                six kills",
            "  uplift chaos --faults all --count 60 --minutes 0",
            "  uplift chaos --faults pause,clock --mode live",
            "  uplift chaos --faults kill-broker --count 3 --taskmanagers 1",
            "",
            "The report says of every fault how long there was, at worst, no new result of a camera, and how long",
            "after its end results of every camera came again.",
            "",
            "Exit code 0 if lossless: every frame ended exactly once under read_committed, in order per camera; live:",
            "at least once. Leaves chaos.json, chaos.md, chaos-samples.csv and chaos.png, chaos-processes.csv and .png",
            "(memory, threads, files, sockets), and what the processes said, in the output directory."
        })
final class ChaosCommand implements Callable<Integer> {
    @Option(
            names = "--faults",
            paramLabel = "KIND",
            split = ",",
            defaultValue = "kill",
            description = "Families or kinds of faults, such as kill,pause-broker; or all. Default: ${DEFAULT-VALUE}.")
    private List<String> faults = List.of();

    @Option(
            names = "--count",
            paramLabel = "N",
            defaultValue = "6",
            description = "Faults, of every kind as many as of every other; default: ${DEFAULT-VALUE}.")
    private int count;

    @Option(
            names = "--longest",
            paramLabel = "SECONDS",
            defaultValue = "60",
            description = "The longest time from a fault to its end; the shortest is 5 s. Default: ${DEFAULT-VALUE}.")
    private int longest;

    @Option(
            names = "--minutes",
            paramLabel = "N",
            defaultValue = "5",
            description = "Over which the faults are spread, longer if they take it; 0: one after the other as soon as"
                    + " results come again. Default: ${DEFAULT-VALUE}.")
    private double minutes;

    @Option(
            names = "--brokers",
            paramLabel = "N",
            defaultValue = "3",
            description = "Brokers, 1 or 3; default: ${DEFAULT-VALUE}.")
    private int brokers;

    @Option(
            names = "--jobmanagers",
            paramLabel = "N",
            defaultValue = "2",
            description = "JobManagers, 1 or 2; default: ${DEFAULT-VALUE}.")
    private int jobManagers;

    @Option(
            names = "--taskmanagers",
            paramLabel = "N",
            defaultValue = "2",
            description = "TaskManagers, 1 to 4; default: ${DEFAULT-VALUE}.")
    private int taskManagers;

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
            description = "Of the faults, their victims, order and times; default: ${DEFAULT-VALUE}.")
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
        Set<FaultKind> kinds = EnumSet.noneOf(FaultKind.class);
        for (String name : faults) {
            Set<FaultKind> named = FaultKind.named(name);
            checks.require(
                    !named.isEmpty(), "--faults", name, "all, " + FaultKind.families() + ", or such as pause-broker");
            kinds.addAll(named);
        }
        checks.require(count >= 1, "--count", count, "1 or more");
        checks.require(longest >= 5 && longest <= 600, "--longest", longest, "5 to 600");
        checks.require(minutes >= 0, "--minutes", minutes, "0 or more");
        checks.require(brokers == 1 || brokers == 3, "--brokers", brokers, "1 or 3");
        checks.require(jobManagers >= 1 && jobManagers <= 2, "--jobmanagers", jobManagers, "1 or 2");
        checks.require(taskManagers >= 1 && taskManagers <= 4, "--taskmanagers", taskManagers, "1 to 4");
        checks.require(
                brokers == 3 || !kinds.contains(FaultKind.BROKER_EMPTY),
                "--brokers",
                brokers,
                "3 for broker-empty: with one, all records would be gone");
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
                        new ClusterShape(brokers, jobManagers, taskManagers),
                        kinds,
                        count,
                        longest,
                        minutes,
                        cameras,
                        framesPerSecond,
                        seed,
                        output,
                        assignments),
                System.out::println,
                StopSignals::endWith);
        System.out.println(
                holds
                        ? mode == ServingOptions.Mode.LOSSLESS
                                ? "Every frame ended exactly once, in order per camera."
                                : "Every frame ended at least once, in order per camera."
                        : "The account does NOT hold.");
        return holds ? 0 : 1;
    }
}
