package io.upliftstream.tools.bench;

import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench pipeline} found.
 *
 * @param processors that broker, job and publisher share
 * @param frames per round
 * @param kilobytes of a frame, the mean
 * @param size of the frames, width x height
 * @param framesPerSecond of the job with a model that does nothing, from topic to topic; the median of the rounds
 * @param loopFramesPerSecond of a plain loop on one thread: decode, encode
 * @param cpuMillis of the whole process per frame while the job runs, the embedded broker included; the median
 * @param loopCpuMillis of the loop per frame, the median
 * @param addedCpuMillis what the stream costs per frame beyond the loop, the median of the rounds' differences
 * @param halfLoad frames per second that were sent, open loop, half of framesPerSecond
 * @param outsideP50 milliseconds from when a frame was due to when the broker had its result, less model and queue
 * @param outsideP95 the same
 * @param besideRatio frames per second of a second job, of the first one's in the same round, the median; null without one
 */
public record PipelineReport(
        int processors,
        int frames,
        double kilobytes,
        String size,
        double framesPerSecond,
        double loopFramesPerSecond,
        double cpuMillis,
        double loopCpuMillis,
        double addedCpuMillis,
        double halfLoad,
        double outsideP50,
        double outsideP95,
        @Nullable Double besideRatio) {

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                """
                %s JPEG of %.0f KB, %d a round, no model: %.0f frames/s from topic to topic, a plain loop %.0f on one core
                processor time per frame: %.2f ms, the loop %.2f ms; the stream adds %.2f ms
                half load, %.0f frames/s: outside model and queue p50 %.1f ms, p95 %.1f ms%s""",
                size,
                kilobytes,
                frames,
                framesPerSecond,
                loopFramesPerSecond,
                cpuMillis,
                loopCpuMillis,
                addedCpuMillis,
                halfLoad,
                outsideP50,
                outsideP95,
                besideRatio == null
                        ? ""
                        : String.format(Locale.ROOT, "%nthe second job: %.3f of its frames/s", besideRatio));
    }
}
