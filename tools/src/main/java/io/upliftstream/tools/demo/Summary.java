package io.upliftstream.tools.demo;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.tools.picture.FreshFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a demo came to; the fields of {@code summary.json}. All of it is counted from records read back from the topics,
 * as any subscriber would.
 *
 * @param mode lossless or live
 * @param model name and version of the bundle
 * @param variant of the bundle that ran
 * @param published frames
 * @param segmentation records of segmentation heads
 * @param features records of feature heads
 * @param depth records of regression heads
 * @param failures frames with a failure record
 * @param unsent pictures of the input that could not be read or sent
 * @param dropped frames counted in drop records
 * @param balanced whether every frame ended, in one way and once
 * @param irregularities what should not have happened, one sentence each, at most twenty
 * @param framesPerSecond frames with results, over the time from the first frame published to the last frame whose
 *     results could all be read; starting up is not in it, nor drawing or decoding the first 128 frames of a camera,
 *     which happens meanwhile; for later frames it is, as they share the processor with the job
 * @param latencyMillis from publishing a frame to having read all its results, by percentile, without the first four
 *     frames that end so, since the first calls of a process are slow; in lossless mode this holds the frame's wait in
 *     Kafka and the wait for the checkpoint that commits it
 * @param stageMillis mean time of the stages, as the records state them
 * @param failureReasons failure records by reason
 * @param pixelAccuracy share of right labels; null without a truth
 * @param meanIoU over the classes present in the truth; null without a truth
 * @param classIoU by class name; null without a truth
 */
public record Summary(
        String mode,
        String model,
        @Nullable String variant,
        long published,
        long segmentation,
        long features,
        long depth,
        long failures,
        long unsent,
        long dropped,
        boolean balanced,
        List<String> irregularities,
        double framesPerSecond,
        Latency latencyMillis,
        Map<String, Double> stageMillis,
        Map<String, Long> failureReasons,
        @Nullable Double pixelAccuracy,
        @Nullable Double meanIoU,
        @Nullable Map<String, Double> classIoU) {

    /** Percentiles in milliseconds. */
    public record Latency(double p50, double p95, double p99) {}

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .defaultPropertyInclusion(JsonInclude.Value.ALL_NON_NULL)
            .build();

    void write(Path file) throws IOException {
        FreshFile.write(file, JSON.writeValueAsBytes(this));
    }

    static double round(double value, int digits) {
        double scale = Math.pow(10, digits);
        return Math.round(value * scale) / scale;
    }
}
