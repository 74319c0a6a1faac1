package io.upliftstream.tools.cli;

import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.picture.FreshFile;
import io.upliftstream.tools.street.Cityscapes;
import io.upliftstream.tools.street.Look;
import io.upliftstream.tools.street.StreetCamera;
import io.upliftstream.tools.street.StreetFrame;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.awt.image.DataBufferUShort;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * {@code uplift synthesize}. The first frame of every seed is written first, then the second, and so on, so that a part
 * of the set is already varied.
 */
@Command(
        name = "synthesize",
        description = "A data set of synthetic street frames with exact labels and depth: images/SEED_INDEX.jpg,"
                + " labels/SEED_INDEX.png (8-bit grey, Cityscapes train ids), depth/SEED_INDEX.png (16-bit grey,"
                + " centimetres, 0 = none), and dataset.json, which says what is there.",
        footer = {
            "",
            "Seeds 0-9999 are for training, 10000-19999 for validation, 20000 and up for demonstration and tests.",
            "",
            "Examples:",
            "  uplift synthesize --output train --seeds 0-399 --frames 16",
            "  uplift synthesize --output val --seeds 10000-10029 --frames 10",
            "  uplift synthesize --output winter --seeds 10000-10029 --frames 10 --look winter"
        })
@SuppressWarnings("NullAway.Init") // picocli sets the options
final class SynthesizeCommand implements Callable<Integer> {
    private static final float JPEG_QUALITY = 0.93f;
    private static final int MAX_FRAMES = 10_000_000;
    private static final int CENTIMETRES = 100;

    @Spec
    private CommandSpec spec;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Where to write; made if missing.")
    private Path output;

    @Option(
            names = "--seeds",
            defaultValue = "0-299",
            paramLabel = "FIRST-LAST",
            converter = SeedsConverter.class,
            description = "Streets to draw, both ends included (default: ${DEFAULT-VALUE}).")
    private Seeds seeds;

    @Option(
            names = "--frames",
            defaultValue = "20",
            paramLabel = "N",
            description = "Frames per seed (default: ${DEFAULT-VALUE}).")
    private int frames;

    @Option(
            names = "--every",
            defaultValue = "1.5",
            paramLabel = "SECONDS",
            description = "Street time between the frames of a seed (default: ${DEFAULT-VALUE}).")
    private double every;

    @Option(
            names = "--size",
            defaultValue = "640x384",
            paramLabel = "WxH",
            converter = Size.Converter.class,
            description = "Size in pixels (default: ${DEFAULT-VALUE}).")
    private Size size;

    @Option(
            names = "--look",
            defaultValue = "varied",
            paramLabel = "LOOK",
            description = "varied or winter (default: ${DEFAULT-VALUE}). Varied: weather, hour and colours"
                    + " drawn from the seed. Winter: snow and other colours, kept out of training to judge on a look"
                    + " not seen before.")
    private Look look;

    @Option(names = "--threads", paramLabel = "N", description = "Frames drawn at a time (default: all cores).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Mixin
    private Checks checks = new Checks();

    record Seeds(long first, long last) {}

    static final class SeedsConverter implements ITypeConverter<Seeds> {
        @Override
        public Seeds convert(String text) {
            String[] ends = text.split("-", -1);
            try {
                long first = Long.parseLong(ends[0]);
                long last = Long.parseLong(ends[ends.length - 1]);
                if (ends.length <= 2 && first <= last) {
                    return new Seeds(first, last);
                }
            } catch (NumberFormatException e) {
                // Reported below.
            }
            throw Mistakes.refused(text, "FIRST-LAST, for example 0-299");
        }
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        checks.require(frames >= 1, "--frames", frames, ">= 1");
        checks.require(threads >= 1 && threads <= 1024, "--threads", threads, "1 to 1024");
        checks.require(every > 0, "--every", every, "above 0");
        long streets = seeds.last - seeds.first + 1;
        checks.require(
                streets <= MAX_FRAMES / frames,
                "--seeds",
                streets + " streets",
                "at most " + MAX_FRAMES + " frames in all");
        checks.writable("--output", output);
        List<StreetCamera> cameras = cameras();
        for (String part : List.of("images", "labels", "depth")) {
            Files.createDirectories(output.resolve(part));
        }
        int total = cameras.size() * frames;
        var pixels = new AtomicLongArray(256);
        var done = new AtomicInteger();
        long start = System.nanoTime();
        var out = spec.commandLine().getErr();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<?>> pending = new ArrayList<>();
            for (int i = 0; i < frames; i++) {
                for (int c = 0; c < cameras.size(); c++) {
                    int index = i;
                    StreetCamera camera = cameras.get(c);
                    String name = (seeds.first + c) + "_" + index;
                    pending.add(pool.submit(() -> {
                        StreetFrame frame = camera.frame(index);
                        write(frame, name);
                        count(frame, pixels);
                        int n = done.incrementAndGet();
                        if (n % 100 == 0 || n == total) {
                            double rate = n / ((System.nanoTime() - start) / 1e9);
                            out.printf(Locale.ROOT, "%d of %d frames, %.1f frames/s%n", n, total, rate);
                            out.flush();
                        }
                        return null;
                    }));
                }
            }
            for (Future<?> one : pending) {
                one.get();
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException cause) {
                throw cause;
            }
            throw new IllegalStateException(e.getCause());
        } finally {
            pool.shutdownNow();
        }
        Files.writeString(output.resolve("dataset.json"), description(total, pixels));
        return 0;
    }

    private List<StreetCamera> cameras() {
        List<StreetCamera> cameras = new ArrayList<>();
        try {
            for (long seed = seeds.first; seed <= seeds.last; seed++) {
                cameras.add(new StreetCamera(seed, size.width(), size.height(), 1 / every, look));
            }
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        return cameras;
    }

    private void write(StreetFrame frame, String name) throws IOException {
        FreshFile.write(output.resolve("images").resolve(name + ".jpg"), Images.jpeg(frame.image(), JPEG_QUALITY));
        var labels = new BufferedImage(size.width(), size.height(), BufferedImage.TYPE_BYTE_GRAY);
        byte[] ids = ((DataBufferByte) labels.getRaster().getDataBuffer()).getData();
        System.arraycopy(frame.labels(), 0, ids, 0, ids.length);
        FreshFile.write(output.resolve("labels").resolve(name + ".png"), Images.png(labels));

        var depth = new BufferedImage(size.width(), size.height(), BufferedImage.TYPE_USHORT_GRAY);
        short[] centimetres = ((DataBufferUShort) depth.getRaster().getDataBuffer()).getData();
        for (int i = 0; i < centimetres.length; i++) {
            centimetres[i] = (short) Math.min(65535, Math.round(frame.depthMetres()[i] * CENTIMETRES));
        }
        FreshFile.write(output.resolve("depth").resolve(name + ".png"), Images.png(depth));
    }

    private static void count(StreetFrame frame, AtomicLongArray pixels) {
        long[] counts = new long[256];
        for (byte label : frame.labels()) {
            counts[label & 255]++;
        }
        for (int id = 0; id < counts.length; id++) {
            pixels.addAndGet(id, counts[id]);
        }
    }

    private String description(int total, AtomicLongArray pixels) {
        double all = (double) total * size.width() * size.height();
        String classes = Arrays.stream(Cityscapes.values())
                .map(c -> String.format(
                        Locale.ROOT,
                        "    {\"id\": %d, \"name\": \"%s\", \"color\": \"#%06X\", \"pixelShare\": %.6f}",
                        c.trainId(),
                        c.label(),
                        c.rgb(),
                        pixels.get(c.trainId()) / all))
                .collect(Collectors.joining(",\n"));
        return String.format(
                Locale.ROOT,
                """
                {
                  "source": "synthetic street cameras",
                  "look": "%s",
                  "seeds": {"first": %d, "last": %d},
                  "framesPerSeed": %d,
                  "secondsBetweenFrames": %s,
                  "frames": %d,
                  "width": %d,
                  "height": %d,
                  "images": "images/SEED_INDEX.jpg",
                  "labels": "labels/SEED_INDEX.png, 8-bit grey, class ids",
                  "depth": "depth/SEED_INDEX.png, 16-bit grey, centimetres, 0 = none",
                  "classes": [
                %s
                  ]
                }
                """,
                look.name().toLowerCase(Locale.ROOT),
                seeds.first,
                seeds.last,
                frames,
                every,
                total,
                size.width(),
                size.height(),
                classes);
    }
}
