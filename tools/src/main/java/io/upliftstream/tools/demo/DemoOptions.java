package io.upliftstream.tools.demo;

import io.upliftstream.job.ServingOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a demo shows.
 *
 * @param input a video, a directory of images or an image; null for synthetic streets
 * @param packets whether the packets of a video are sent rather than its pictures
 * @param cameras how many; with an input, each sends all of it
 * @param framesPerCamera at most so many; null for the whole input, or {@value #SYNTHETIC_FRAMES} synthetic frames
 * @param output directory for pictures and summary
 * @param width of synthetic frames, in pixels
 * @param height of synthetic frames, in pixels
 * @param framesPerSecond of synthetic cameras: the pace in live mode, and of the street's own clock
 * @param seed of the first synthetic camera; the others follow
 * @param set further options of the job, {@code key=value}; they win
 * @param browser whether to open one with the live page
 * @param flinkPage port of Flink's own page, 0 for any free one; null for none
 */
public record DemoOptions(
        @Nullable Path input,
        boolean packets,
        int cameras,
        @Nullable Integer framesPerCamera,
        Path output,
        ServingOptions.Mode mode,
        Path bundle,
        String device,
        String precision,
        int width,
        int height,
        double framesPerSecond,
        long seed,
        List<String> set,
        boolean browser,
        @Nullable Integer flinkPage) {

    static final int SYNTHETIC_FRAMES = 100;

    /** JPEG quality of the frames that cameras encode. */
    static final double QUALITY = 0.92;

    /** Two synthetic cameras of 640 x 360, a hundred frames each, lossless. */
    public static DemoOptions defaults(Path bundle, Path output) {
        return new DemoOptions(
                null,
                false,
                2,
                null,
                output,
                ServingOptions.Mode.LOSSLESS,
                bundle,
                "auto",
                "auto",
                640,
                360,
                10,
                20_000,
                List.of(),
                false,
                null);
    }

    /** The same with another number of frames per camera. */
    public DemoOptions withFrames(int frames) {
        return new DemoOptions(
                input,
                packets,
                cameras,
                frames,
                output,
                mode,
                bundle,
                device,
                precision,
                width,
                height,
                framesPerSecond,
                seed,
                set,
                browser,
                flinkPage);
    }

    long frames() {
        if (framesPerCamera != null) {
            return framesPerCamera;
        }
        return input == null ? SYNTHETIC_FRAMES : Long.MAX_VALUE;
    }

    String modeName() {
        return mode.name().toLowerCase(Locale.ROOT);
    }
}
