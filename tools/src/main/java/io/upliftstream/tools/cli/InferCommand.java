package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.Label;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.CameraSource;
import io.upliftstream.tools.camera.ImageDirectory;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.camera.JpegFormat;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.camera.UnreadableShotException;
import io.upliftstream.tools.camera.VideoCamera;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.picture.Grid;
import io.upliftstream.tools.picture.Legend;
import io.upliftstream.tools.picture.Npy;
import io.upliftstream.tools.picture.Overlay;
import io.upliftstream.tools.stream.FileNames;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code uplift infer}. */
@Command(
        name = "infer",
        description =
                "Single images, without Kafka and Flink. For input a.jpg it writes a.overlay.png (the classes over"
                        + " the image), a.labels.png (class ids in the image's size; 255 where there is none), and a.<head>.npy"
                        + " for every other head, such as a.features.npy [channels, height, width] and a.depth.npy, on the"
                        + " model's grid; and legend.png, which colour is which class.",
        footer = {
            "",
            "Examples:",
            "  uplift infer --input photo.jpg --output out",
            "  uplift infer --input photos --output out --precision fp32",
            "  uplift infer --input street.mp4 --output out    every frame, as street_000000 and so on",
            "",
            "Of two images that differ in their extensions alone, the results have the extension in their names.",
            "An image that cannot be read, or a video that is cut off, is named and the others go on; the exit code is 1",
            "then."
        })
final class InferCommand implements Callable<Integer> {
    /** Of a file's name, so that there is room for the endings. */
    private static final int MAX_NAME_BYTES = 200;

    @Option(names = "--input", required = true, paramLabel = "FILE|DIR", description = "Image, directory, or video.")
    private Path input = Path.of(".");

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Where the results go.")
    private Path output = Path.of("out");

    @Option(
            names = "--timeout",
            paramLabel = "SECONDS",
            defaultValue = "120",
            description = "Most that one call of the model may take, longer than its images are failures; default:"
                    + " ${DEFAULT-VALUE}.")
    private int timeout = 120;

    @Mixin
    private ModelOption model = new ModelOption();

    @Mixin
    private Checks checks = new Checks();

    private int done;
    private int failed;

    private record Pending(Shot shot, CompletableFuture<DenseResult> result) {}

    @Override
    public Integer call() throws Exception {
        checks.require(timeout >= 1, "--timeout", timeout, ">= 1");
        checks.writable("--output", output);
        try (Camera images = open();
                DenseService service = DenseService.acquire(service())) {
            System.out.println(service.describe());
            Files.createDirectories(output);
            List<Label> labels = service.bundle().labels();
            int[] palette = Overlay.palette(labels);
            Legend.write(output.resolve("legend.png"), labels);
            Deque<Pending> inFlight = new ArrayDeque<>();
            for (Shot shot = next(images); shot != null; shot = next(images)) {
                inFlight.add(new Pending(shot, service.submit(shot.image())));
                if (inFlight.size() >= service.preferredInFlight()) {
                    write(inFlight.remove(), palette);
                }
            }
            while (!inFlight.isEmpty()) {
                write(inFlight.remove(), palette);
            }
        }
        System.out.printf("%d done, %d failed, in %s%n", done, failed, output);
        return failed == 0 ? 0 : 1;
    }

    /** The next image that can be read; null after the last, or where there is no way on. */
    private @Nullable Shot next(Camera images) {
        while (true) {
            try {
                return images.next();
            } catch (IOException e) {
                fail(String.valueOf(e.getMessage()));
                if (!(e instanceof UnreadableShotException)) {
                    return null; // what is on its way is written
                }
            } finally {
                images.notes().forEach(System.err::println);
            }
        }
    }

    private void fail(String sentence) {
        failed++;
        System.err.println(sentence);
    }

    private ServiceOptions service() {
        return new ServiceOptions(model.bundle(), model.options()).withTimeout(Duration.ofSeconds(timeout));
    }

    private Camera open() {
        try {
            if (!Files.exists(input)) {
                throw new IOException("input: " + input.toAbsolutePath()
                        + " does not exist (expected: an image, a directory of them, or a video)");
            }
            return Files.isDirectory(input) || ImageDirectory.isImage(input)
                    ? new ImageDirectory("infer", input)
                    : new VideoCamera(CameraSource.name(input), input.toString(), JpegFormat.of(1));
        } catch (IOException e) {
            throw new StartupException(StartupException.ENVIRONMENT, String.valueOf(e.getMessage()), e);
        }
    }

    /** The image's own name, unless those of its files would be too long. */
    private static String fileName(String name) {
        return name.getBytes(StandardCharsets.UTF_8).length <= MAX_NAME_BYTES ? name : FileNames.of(name);
    }

    private void write(Pending pending, int[] palette) throws InterruptedException {
        String name = pending.shot().name();
        try {
            DenseResult result = pending.result().get();
            for (HeadOutput head : result.output().heads()) {
                write(fileName(name), pending.shot(), head, result.transform(), palette);
            }
            done++;
            System.out.printf(
                    "%s: %d x %d, backbone %.0f ms, upsampling %.0f ms%n",
                    name,
                    result.transform().frameWidth(),
                    result.transform().frameHeight(),
                    result.timings().backboneNanos() / 1e6,
                    result.timings().upsampleNanos() / 1e6);
        } catch (ExecutionException e) {
            String reason = e.getCause() instanceof FrameException frame ? frame.reason() + ": " : "";
            fail("%s: %s%s"
                    .formatted(
                            name,
                            reason,
                            e.getCause() == null ? e : e.getCause().getMessage()));
        } catch (IOException e) {
            fail("%s: its results cannot be written: %s".formatted(name, e));
        }
    }

    private void write(String name, Shot shot, HeadOutput head, FrameTransform transform, int[] palette)
            throws IOException {
        HeadSpec spec = head.head();
        switch (spec.kind()) {
            case SEGMENTATION -> {
                byte[] labels = new byte[spec.width() * spec.height()];
                head.data().duplicate().rewind().get(labels);
                Grid grid = Grid.of(spec, transform);
                FreshFile.write(
                        output.resolve(name + ".overlay.png"),
                        Images.png(Overlay.segmentation(Images.decode(shot.image()), labels, grid, palette)));
                FreshFile.write(
                        output.resolve(name + ".labels.png"),
                        Images.png(Overlay.labels(transform.frameWidth(), transform.frameHeight(), labels, grid)));
            }
            case FEATURES, REGRESSION ->
                Npy.write(
                        output.resolve(name + "." + spec.name() + ".npy"),
                        spec.dtype(),
                        List.of(spec.channels(), spec.height(), spec.width()),
                        head.data().duplicate().rewind());
        }
    }
}
