package io.upliftstream.tools.cli;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.ServingOptions;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.tools.bench.CodecBench;
import io.upliftstream.tools.bench.CodecReport;
import io.upliftstream.tools.bench.LoadBench;
import io.upliftstream.tools.bench.LoadOptions;
import io.upliftstream.tools.bench.ModelBench;
import io.upliftstream.tools.bench.ModelReport;
import io.upliftstream.tools.bench.PipelineBench;
import io.upliftstream.tools.bench.PipelineReport;
import io.upliftstream.tools.camera.JpegFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code uplift bench}. */
@Command(
        name = "bench",
        description = "Measures the job and its parts.",
        footer = {
            "",
            "Examples:",
            "  uplift bench load                       latency, drops and throughput over the offered load",
            "  uplift bench load --quick               the same in about two minutes, too short for good percentiles",
            "  uplift bench codecs --input street.mp4  JPEG, masks and features: time, size and what they lose",
            "  uplift bench model --against other/bundle   stages, memory, and which is faster",
            "  uplift bench model --against model/bundles/street:int8   one bundle at two precisions",
            "  uplift bench pipeline                   what Kafka and Flink add to a plain loop",
            "  uplift bench load --modes live --loads 3 --seconds 1800   half an hour at three times the capacity",
        })
final class BenchCommand {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Command(
            name = "load",
            description =
                    "First measures capacity and service time, then runs every policy under every load, open loop:"
                            + " frames are sent on schedule, and latency counts from there to the record on the topic. Checks"
                            + " that every frame ended exactly once. Leaves load.csv, load.json, load-samples.csv and load.png"
                            + " in the output directory.")
    int load(
            @Mixin ModelOption model,
            @Option(names = "--kafka", paramLabel = "HOST:PORT", description = "Brokers; default: one in this process.")
                    @Nullable
                    String kafka,
            @Option(
                            names = "--modes",
                            split = ",",
                            paramLabel = "MODE",
                            defaultValue = "live,lossless",
                            description = "Policies; default: ${DEFAULT-VALUE}.")
                    List<ServingOptions.Mode> modes,
            @Option(
                            names = "--loads",
                            split = ",",
                            paramLabel = "X",
                            defaultValue = "0.5,0.9,1,2,5,10",
                            description = "Offered loads in multiples of the capacity; default: ${DEFAULT-VALUE}.")
                    List<Double> loads,
            @Option(
                            names = "--seconds",
                            paramLabel = "S",
                            defaultValue = "60",
                            description = "How long frames are published under each load; default: ${DEFAULT-VALUE}. In"
                                    + " lossless mode what is left after that is waited for.")
                    double seconds,
            @Option(
                            names = "--sample-seconds",
                            paramLabel = "S",
                            defaultValue = "10",
                            description = "Time between two looks at the process's memory; default: ${DEFAULT-VALUE}.")
                    double sampleSeconds,
            @Option(
                            names = "--cameras",
                            paramLabel = "N",
                            defaultValue = "4",
                            description = "Cameras that send; default: ${DEFAULT-VALUE}.")
                    int cameras,
            @Option(
                            names = "--loud",
                            paramLabel = "N",
                            defaultValue = "1",
                            description =
                                    "The first camera sends N times as many frames as each of the others; default:"
                                            + " ${DEFAULT-VALUE}.")
                    int loud,
            @Option(
                            names = "--size",
                            paramLabel = "WxH",
                            defaultValue = "640x360",
                            description = "Size of the synthetic frames; default: ${DEFAULT-VALUE}.")
                    String size,
            @Option(names = "--quick", description = "Short phases: to see that everything works.") boolean quick,
            @Option(
                            names = "--output",
                            paramLabel = "DIR",
                            defaultValue = "out/load",
                            description = "Where the report goes; default: ${DEFAULT-VALUE}.")
                    Path output,
            @Option(
                            names = "--set",
                            paramLabel = "KEY=VALUE",
                            description = "An option of the job, such as uplift.max-age=500ms; repeatable.")
                    @Nullable
                    List<String> set)
            throws Exception {
        require(loads.stream().allMatch(load -> load > 0 && load <= 100), "--loads", loads, "above 0, at most 100");
        require(seconds > 0, "--seconds", seconds, "above 0");
        require(sampleSeconds > 0, "--sample-seconds", sampleSeconds, "above 0");
        require(cameras >= 1 && cameras <= 64, "--cameras", cameras, "1 to 64");
        require(loud >= 1 && loud <= 100, "--loud", loud, "1 to 100");
        require(size.matches("\\d{2,4}x\\d{2,4}"), "--size", size, "such as 640x360");
        int x = size.indexOf('x');
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
                Integer.parseInt(size.substring(0, x)),
                Integer.parseInt(size.substring(x + 1)),
                output,
                assignments);
        boolean holds = LoadBench.run(options, System.out::println);
        System.out.println((holds ? "Every frame ended exactly once" : "The accounts do NOT hold") + ": see "
                + output.resolve("load.csv") + " and " + output.resolve("load.png"));
        return holds ? 0 : 1;
    }

    @Command(
            name = "codecs",
            description = "What reading frames and writing masks and features costs, on one thread, and what it does to"
                    + " the features: JPEG to the model's input beside ImageIO, masks and features of the model's outputs in"
                    + " every encoding.")
    int codecs(
            @Mixin ModelOption model,
            @Option(
                            names = "--input",
                            paramLabel = "SOURCE",
                            defaultValue = "synthetic",
                            description = "Video, image, directory of images, or synthetic; default: ${DEFAULT-VALUE}.")
                    String input,
            @Option(
                            names = "--frame-width",
                            paramLabel = "W",
                            defaultValue = "1920",
                            description =
                                    "Width to which video and synthetic frames are scaled before they become JPEG;"
                                            + " 0 for their own; default: ${DEFAULT-VALUE}.")
                    int frameWidth,
            @Option(
                            names = "--quality",
                            paramLabel = "Q",
                            defaultValue = "0.75",
                            description = "JPEG quality of those, 0 to 1; default: ${DEFAULT-VALUE}, as libjpeg's.")
                    double quality,
            @Option(
                            names = "--frames",
                            paramLabel = "N",
                            defaultValue = "8",
                            description = "Frames that are read; default: ${DEFAULT-VALUE}.")
                    int frames,
            @Option(
                            names = "--size",
                            paramLabel = "WxH",
                            defaultValue = "448x448",
                            description =
                                    "Size that frames are decoded to, and to which the model's labels are repeated;"
                                            + " features have the bundle's; default: ${DEFAULT-VALUE}.")
                    String size,
            @Option(
                            names = "--rounds",
                            paramLabel = "N",
                            defaultValue = "21",
                            description =
                                    "Rounds over all frames, of which the median counts; default: ${DEFAULT-VALUE}.")
                    int rounds,
            @Mixin JsonOption json)
            throws Exception {
        require(
                frameWidth == 0 || (frameWidth >= 16 && frameWidth <= 8192),
                "--frame-width",
                frameWidth,
                "0, or 16 to 8192");
        require(quality >= 0 && quality <= 1, "--quality", quality, "0 to 1");
        require(frames >= 1 && frames <= 1000, "--frames", frames, "1 to 1000");
        require(size.matches("\\d{2,4}x\\d{2,4}"), "--size", size, "such as 448x448");
        require(rounds >= 1 && rounds <= 10_000, "--rounds", rounds, "1 to 10000");
        int x = size.indexOf('x');
        CodecReport report = CodecBench.run(
                new CodecBench.Options(
                        input,
                        new JpegFormat(quality, frameWidth, 0),
                        frames,
                        Integer.parseInt(size.substring(0, x)),
                        Integer.parseInt(size.substring(x + 1)),
                        rounds,
                        new ServiceOptions(model.bundle(), model.options())),
                System.out::println);
        System.out.println(report);
        json.write(report);
        return 0;
    }

    @Command(
            name = "model",
            description =
                    "How fast the model runs, stage by stage, what the JVM adds, its memory, and its share of what"
                            + " matrix products reach; beside other bundles in the same run, in turns.")
    int model(
            @Mixin ModelOption model,
            @Option(
                            names = "--against",
                            paramLabel = "DIR[:P]",
                            description =
                                    "Another bundle to compare with, or the same at another precision; repeatable.")
                    @Nullable
                    List<String> against,
            @Option(
                            names = "--batch",
                            paramLabel = "N",
                            defaultValue = "0",
                            description =
                                    "Frames of one call, at most the bundle's; default: what the job would choose.")
                    int batch,
            @Option(
                            names = "--rounds",
                            paramLabel = "N",
                            defaultValue = "15",
                            description = "Rounds over all bundles, of which the median counts; default:"
                                    + " ${DEFAULT-VALUE}.")
                    int rounds,
            @Option(
                            names = "--gflop",
                            paramLabel = "G",
                            defaultValue = "0",
                            description =
                                    "Billions of operations that one frame takes, for the share of the matrix peak;"
                                            + " 384 for DINOv2-S/14 and UPLiFT at 448x448.")
                    double gflop,
            @Mixin JsonOption json)
            throws Exception {
        require(batch >= 0 && batch <= 1024, "--batch", batch, "1 to 1024, or 0 to choose");
        require(rounds >= 1 && rounds <= 10_000, "--rounds", rounds, "1 to 10000");
        require(gflop >= 0, "--gflop", gflop, "above 0");
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

    @Command(
            name = "pipeline",
            description = "What Kafka and Flink cost: from topic to topic with an engine that decodes but has no model,"
                    + " beside a plain loop over the same frames in the same run, and the latency at half that load."
                    + " Broker, job and publisher share this process.")
    int pipeline(
            @Mixin ModelOption model,
            @Option(
                            names = "--rounds",
                            paramLabel = "N",
                            defaultValue = "5",
                            description =
                                    "Rounds of job and loop, of which the median counts; default: ${DEFAULT-VALUE}.")
                    int rounds,
            @Option(
                            names = "--frames",
                            paramLabel = "N",
                            defaultValue = "2000",
                            description = "Frames of a round; default: ${DEFAULT-VALUE}.")
                    int frames,
            @Option(
                            names = "--size",
                            paramLabel = "WxH",
                            defaultValue = "1280x720",
                            description = "Size of the synthetic frames; default: ${DEFAULT-VALUE}.")
                    String size,
            @Option(
                            names = "--kilobytes",
                            paramLabel = "KB",
                            defaultValue = "100",
                            description = "Size that a frame's JPEG is to have; default: ${DEFAULT-VALUE}.")
                    double kilobytes,
            @Option(
                            names = "--seconds",
                            paramLabel = "S",
                            defaultValue = "60",
                            description = "How long half the load is sent and measured, after as long to warm up;"
                                    + " default: ${DEFAULT-VALUE}.")
                    double seconds,
            @Option(
                            names = "--set",
                            paramLabel = "KEY=VALUE",
                            description = "An option of the job, such as uplift.mode=live; repeatable.")
                    @Nullable
                    List<String> set,
            @Mixin JsonOption json)
            throws Exception {
        require(rounds >= 1 && rounds <= 1000, "--rounds", rounds, "1 to 1000");
        require(frames >= 10 && frames <= 100_000, "--frames", frames, "10 to 100000");
        require(size.matches("\\d{2,4}x\\d{2,4}"), "--size", size, "such as 1280x720");
        require(kilobytes > 0, "--kilobytes", kilobytes, "above 0");
        require(seconds > 0, "--seconds", seconds, "above 0");
        int x = size.indexOf('x');
        PipelineReport report = PipelineBench.run(
                new PipelineBench.Options(
                        rounds,
                        frames,
                        Integer.parseInt(size.substring(0, x)),
                        Integer.parseInt(size.substring(x + 1)),
                        kilobytes,
                        seconds,
                        model.bundle(),
                        set == null ? List.of() : set),
                System.out::println);
        System.out.println(report);
        json.write(report);
        return 0;
    }

    /** Where a report goes for programs. */
    static final class JsonOption {
        private static final JsonMapper JSON =
                JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

        @Option(names = "--json", paramLabel = "FILE", description = "Writes the figures as JSON, too.")
        private @Nullable Path file;

        void write(Object report) throws IOException {
            if (file != null) {
                JSON.writeValue(file.toFile(), report);
            }
        }
    }

    private void require(boolean holds, String option, Object found, String expected) {
        if (!holds) {
            throw new ParameterException(
                    spec.commandLine(), "%s: %s (expected: %s)".formatted(option, found, expected));
        }
    }
}
