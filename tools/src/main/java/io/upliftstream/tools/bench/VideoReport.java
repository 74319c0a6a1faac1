package io.upliftstream.tools.bench;

import java.util.Locale;

/**
 * What {@code uplift bench video} found.
 *
 * @param processors that jobs, broker, camera and subscriber share
 * @param model name and version of the bundle
 * @param input that the pictures are of
 * @param framesPerSecond that the camera sends
 * @param rounds of each job
 * @param images the camera's pictures as JPEGs
 * @param packets the same as packets of video
 * @param costRatio processor time of packets over that of JPEGs in the same round, the median
 */
public record VideoReport(
        int processors,
        String model,
        String input,
        double framesPerSecond,
        int rounds,
        Way images,
        Way packets,
        double costRatio) {

    /**
     * One way to send them.
     *
     * @param format jpeg, h264, h265 or av1
     * @param kilobytes of a picture, the mean
     * @param cpuMillis processor time of the job's process a frame, the median of the rounds
     * @param cores that the camera takes at its rate, by that
     * @param minCores by the round with the least
     * @param maxCores by the round with the most
     * @param reached frames per second that ended, the median; below the camera's if the job did not keep up
     */
    public record Way(
            String format,
            double kilobytes,
            double cpuMillis,
            double cores,
            double minCores,
            double maxCores,
            double reached) {

        @Override
        public String toString() {
            return String.format(
                    Locale.ROOT,
                    "%s: %.0f KB and %.2f ms of the job's processor time a frame; %.3f cores (%.3f to %.3f);"
                            + " %.1f frames/s reached",
                    format,
                    kilobytes,
                    cpuMillis,
                    cores,
                    minCores,
                    maxCores,
                    reached);
        }
    }

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "%s, %s, %.0f frames/s, %d rounds%n%s%n%s%npackets take %.2f of the processor time of JPEGs,"
                        + " the median of the rounds",
                model,
                input,
                framesPerSecond,
                rounds,
                images,
                packets,
                costRatio);
    }
}
