package io.upliftstream.tools.cli;

import io.upliftstream.tools.bench.VideoBench;
import io.upliftstream.tools.bench.VideoReport;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench video}. */
@Command(
        name = "video",
        description =
                "What one camera costs the job, sent as JPEGs and as packets of video: two jobs, each in a process"
                        + " of its own, whose processor time counts, and a camera that sends to them in turns.")
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchVideoCommand implements Callable<Integer> {
    @Mixin
    private ModelOption model = new ModelOption();

    @Option(
            names = "--input",
            paramLabel = "SOURCE",
            defaultValue = "synthetic",
            description =
                    "Where the pictures come from; of a video without B-frames that has packets, these are sent as"
                            + " they are, else pictures are encoded as H.264. Default: ${DEFAULT-VALUE}.")
    private String input;

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "1920x1080",
            converter = Size.Converter.class,
            description = "Size of JPEGs and of what is encoded; of a video whose packets are sent, its own. Default:"
                    + " ${DEFAULT-VALUE}.")
    private Size size;

    @Option(
            names = "--rate",
            paramLabel = "N",
            defaultValue = "30",
            description = "Frames per second that the camera sends; default: ${DEFAULT-VALUE}.")
    private double rate;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "5",
            description = "Rounds of each job, of which the median counts; default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "30",
            description = "How long the camera sends in a round, and before the first to warm each job up;"
                    + " default: ${DEFAULT-VALUE}.")
    private double seconds;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description = "An option of both jobs, such as uplift.video.threads=1; repeatable.")
    private @Nullable List<String> set;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        json.check(checks);
        checks.require(rate > 0 && rate <= 1000, "--rate", rate, "above 0, at most 1000");
        checks.require(rounds >= 1 && rounds <= 1000, "--rounds", rounds, "1 to 1000");
        checks.require(seconds > 0, "--seconds", seconds, "above 0");
        List<String> assignments = new ArrayList<>(model.assignments());
        assignments.addAll(set == null ? List.of() : set);
        VideoReport report = VideoBench.run(
                new VideoBench.Options(
                        input,
                        size.width(),
                        size.height(),
                        rate,
                        rounds,
                        seconds,
                        List.of(Uplift.class.getName(), "run"),
                        assignments),
                System.out::println,
                StopSignals::endWith);
        System.out.println(report);
        json.write(report);
        return 0;
    }
}
