package io.upliftstream.tools.cli;

import io.upliftstream.job.ServingOptions;
import io.upliftstream.tools.demo.Demo;
import io.upliftstream.tools.demo.DemoOptions;
import io.upliftstream.tools.demo.Progress;
import io.upliftstream.tools.demo.Summary;
import io.upliftstream.tools.stream.StatusLine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift demo}. */
@Command(
        name = "demo",
        description =
                "Everything in one process: cameras, Kafka, Flink, the job, and a subscriber that reads the records"
                        + " back and checks that every frame has its results.",
        footer = {
            "",
            "Examples:",
            "  uplift demo --frames 20                 20 frames of each of two synthetic cameras",
            "  uplift demo --input street.mp4          every frame of a video that FFmpeg reads",
            "  uplift demo --input photos --output seen   a directory of images, of any sizes",
            "  uplift demo --mode live --cameras 4     cameras in real time; what comes too late is dropped",
            "",
            "Leaves in the output directory: overlays/<camera>_<frame>.png (at most 24, spread over the run),",
            "contact-sheet.png and summary.json.",
            "Exit code 0 if the whole input was read and every frame ended exactly once."
        })
final class DemoCommand implements Callable<Integer> {
    @Option(names = "--input", paramLabel = "VIDEO|DIR", description = "Video or images instead of synthetic cameras.")
    private @Nullable Path input;

    @Option(
            names = "--packets",
            description = "Send the H.264, H.265 or AV1 of the video that --input names, not its pictures as JPEGs.")
    private boolean packets;

    @Option(names = "--cameras", paramLabel = "N", description = "Cameras; default 2, with an input 1.")
    private @Nullable Integer cameras;

    @Option(
            names = "--frames",
            paramLabel = "N",
            description = "Frames per camera; default 100, with an input all of it.")
    private @Nullable Integer frames;

    @Option(
            names = "--output",
            paramLabel = "DIR",
            defaultValue = "out",
            description = "Where pictures and summary go; default: ${DEFAULT-VALUE}.")
    private Path output = Path.of("out");

    @Option(
            names = "--mode",
            paramLabel = "MODE",
            defaultValue = "lossless",
            description = "lossless: every frame gets a result, however long it waits; live: cameras in real time, and"
                    + " frames that are too old are dropped. Default: ${DEFAULT-VALUE}.")
    private ServingOptions.Mode mode = ServingOptions.Mode.LOSSLESS;

    @Mixin
    private ModelOption model = new ModelOption();

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "640x360",
            converter = Size.Converter.class,
            description = "Size of synthetic frames; default: ${DEFAULT-VALUE}.")
    private Size size = new Size(640, 360);

    @Option(
            names = "--fps",
            paramLabel = "F",
            defaultValue = "10",
            description = "Frames per second of a synthetic camera; default: ${DEFAULT-VALUE}.")
    private double framesPerSecond = 10;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "20000",
            description = "Street of the first synthetic camera; 0 to 9999 were trained on. Default: ${DEFAULT-VALUE}.")
    private long seed = 20_000;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description = "An option of the job or of Flink, such as uplift.output.tensor.dtype=int8; repeatable.")
    private List<String> set = new ArrayList<>();

    @Option(names = "--no-browser", description = "Only print the address of the live page (see uplift view).")
    private boolean noBrowser;

    @Mixin
    private FlinkPageOption flinkPage = new FlinkPageOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        checks.require(cameras == null || (cameras >= 1 && cameras <= 64), "--cameras", cameras, "1 to 64");
        checks.require(frames == null || frames >= 1, "--frames", frames, ">= 1");
        checks.require(!packets || input != null, "--packets", "without --input", "a video");
        checks.require(
                framesPerSecond > 0 && framesPerSecond <= 1000, "--fps", framesPerSecond, "above 0, at most 1000");
        checks.writable("--output", output);
        model.options(); // which may not be
        DemoOptions options = new DemoOptions(
                input,
                packets,
                cameras != null ? cameras : input == null ? 2 : 1,
                frames,
                output,
                mode,
                model.bundle(),
                model.device,
                model.precision,
                size.width(),
                size.height(),
                framesPerSecond,
                seed,
                set,
                !noBrowser,
                flinkPage.port(checks));
        Progress progress = new Progress(System.out, StatusLine.columns());
        Summary summary = Demo.run(options, progress);
        progress.say(describe(summary));
        summary.irregularities().forEach(sentence -> progress.say(sentence.replaceAll("\\p{Cntrl}", "?")));
        return summary.balanced() && summary.unsent() == 0 ? 0 : 1;
    }

    private String describe(Summary summary) {
        String quality = summary.meanIoU() == null
                ? ""
                : String.format(
                        Locale.ROOT,
                        "%npixel accuracy %.3f, mean IoU %.3f over the classes in the truth",
                        summary.pixelAccuracy(),
                        summary.meanIoU());
        return String.format(
                        Locale.ROOT,
                        "%d frames published%s: %d segmentation, %d features, %d depth records; %d failures, %d dropped%n"
                                + "%.1f frames/s; from publishing a frame to reading its last result p50 %.0f p95 %.0f p99 %.0f ms"
                                + " (%s, %s)",
                        summary.published(),
                        summary.unsent() == 0 ? "" : " (%d could not be read or sent)".formatted(summary.unsent()),
                        summary.segmentation(),
                        summary.features(),
                        summary.depth(),
                        summary.failures(),
                        summary.dropped(),
                        summary.framesPerSecond(),
                        summary.latencyMillis().p50(),
                        summary.latencyMillis().p95(),
                        summary.latencyMillis().p99(),
                        summary.mode(),
                        summary.variant())
                + quality
                + String.format(
                        "%n%s: see %s and %s",
                        summary.balanced()
                                ? "The accounts balance"
                                : "The accounts do NOT balance: frames without an end, or with two",
                        output.resolve("contact-sheet.png"),
                        output.resolve("summary.json"));
    }
}
