package io.upliftstream.tools.cli;

import io.upliftstream.tools.bench.PipelineBench;
import io.upliftstream.tools.bench.PipelineReport;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench pipeline}. */
@Command(
        name = "pipeline",
        description = "What Kafka and Flink cost: from topic to topic with an engine that decodes but has no model,"
                + " beside a plain loop over the same frames in the same run, and the latency at half that load."
                + " Broker, job and publisher share this process.")
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchPipelineCommand implements Callable<Integer> {
    @Mixin
    private ModelOption model = new ModelOption();

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "5",
            description = "Rounds of job and loop, of which the median counts; default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(
            names = "--frames",
            paramLabel = "N",
            defaultValue = "2000",
            description = "Frames of a round; default: ${DEFAULT-VALUE}.")
    private int frames;

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "1280x720",
            converter = Size.Converter.class,
            description = "Size of the synthetic frames; default: ${DEFAULT-VALUE}.")
    private Size size;

    @Option(
            names = "--kilobytes",
            paramLabel = "KB",
            defaultValue = "100",
            description = "Size that a frame's JPEG is to have; default: ${DEFAULT-VALUE}.")
    private double kilobytes;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "60",
            description = "How long half the load is sent and measured, after as long to warm up;"
                    + " default: ${DEFAULT-VALUE}.")
    private double seconds;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description = "An option of the job, such as uplift.mode=live; repeatable.")
    private @Nullable List<String> set;

    @Option(
            names = "--beside",
            paramLabel = "KEY=VALUE",
            description = "An option of a second job, which takes turns with the first and is compared with it;"
                    + " repeatable.")
    private @Nullable List<String> beside;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        json.check(checks);
        checks.require(rounds >= 1 && rounds <= 1000, "--rounds", rounds, "1 to 1000");
        checks.require(frames >= 10 && frames <= 100_000, "--frames", frames, "10 to 100000");
        checks.require(kilobytes > 0, "--kilobytes", kilobytes, "above 0");
        checks.require(seconds > 0, "--seconds", seconds, "above 0");
        PipelineReport report = PipelineBench.run(
                new PipelineBench.Options(
                        rounds,
                        frames,
                        size.width(),
                        size.height(),
                        kilobytes,
                        seconds,
                        model.bundle(),
                        set == null ? List.of() : set,
                        beside == null ? List.of() : beside),
                System.out::println);
        System.out.println(report);
        json.write(report);
        return 0;
    }
}
