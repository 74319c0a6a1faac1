package io.upliftstream.tools.cli;

import io.upliftstream.model.ServiceOptions;
import io.upliftstream.tools.bench.CodecBench;
import io.upliftstream.tools.bench.CodecReport;
import io.upliftstream.tools.camera.JpegFormat;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift bench codecs}. */
@Command(
        name = "codecs",
        description = "What reading frames and writing masks and features costs, on one thread, and what it does to"
                + " the features: JPEG to the model's input beside ImageIO, masks and features of the model's outputs in"
                + " every encoding.")
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class BenchCodecsCommand implements Callable<Integer> {
    @Mixin
    private ModelOption model = new ModelOption();

    @Option(
            names = "--input",
            paramLabel = "SOURCE",
            defaultValue = "synthetic",
            description = "Video, image, directory of images, or synthetic; default: ${DEFAULT-VALUE}.")
    private String input;

    @Option(
            names = "--frame-width",
            paramLabel = "W",
            defaultValue = "1920",
            description = "Width to which video and synthetic frames are scaled before they become JPEG;"
                    + " 0 for their own; default: ${DEFAULT-VALUE}.")
    private int frameWidth;

    @Option(
            names = "--quality",
            paramLabel = "Q",
            defaultValue = "0.75",
            description = "JPEG quality of those, 0 to 1; default: ${DEFAULT-VALUE}, as libjpeg's.")
    private double quality;

    @Option(
            names = "--frames",
            paramLabel = "N",
            defaultValue = "8",
            description = "Frames that are read; default: ${DEFAULT-VALUE}.")
    private int frames;

    @Option(
            names = "--size",
            paramLabel = "WxH",
            defaultValue = "448x448",
            converter = Size.Converter.class,
            description = "Size that frames are decoded to, and to which the model's labels are repeated;"
                    + " features have the bundle's; default: ${DEFAULT-VALUE}.")
    private Size size;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "21",
            description = "Rounds over all frames, of which the median counts; default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private Checks checks = new Checks();

    @Override
    public Integer call() throws Exception {
        json.check(checks);
        checks.require(
                frameWidth == 0 || (frameWidth >= 16 && frameWidth <= 8192),
                "--frame-width",
                frameWidth,
                "0, or 16 to 8192");
        checks.require(quality >= 0 && quality <= 1, "--quality", quality, "0 to 1");
        checks.require(frames >= 1 && frames <= 1000, "--frames", frames, "1 to 1000");
        checks.require(rounds >= 1 && rounds <= 10_000, "--rounds", rounds, "1 to 10000");
        CodecReport report = CodecBench.run(
                new CodecBench.Options(
                        input,
                        new JpegFormat(quality, frameWidth, 0),
                        frames,
                        size.width(),
                        size.height(),
                        rounds,
                        new ServiceOptions(model.bundle(), model.options())),
                System.out::println);
        System.out.println(report);
        json.write(report);
        return 0;
    }
}
