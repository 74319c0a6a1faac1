package io.upliftstream.tools.bench;

import java.nio.file.Path;
import java.util.List;

/**
 * What {@code uplift bench scale} measures. The first number of partitions and that of TaskManagers are measured with every
 * number of cameras, the others with the most cameras.
 *
 * @param home the root of a built checkout
 * @param idle whether the engine decodes and has no model
 * @param cameras that send, in ascending order
 * @param partitions of the input topic and of each output topic
 * @param taskManagers processes of one slot each
 * @param rounds in which the numbers of cameras take turns
 * @param seconds of a round
 * @param framesPerSecond of all cameras together, however many there are
 * @param eachPerSecond frames per second of each of the most cameras, in a run of its own; 0 for no such run
 * @param backlog frames that wait when the job is started again
 * @param width of the synthetic frames, pixels
 * @param height of the synthetic frames, pixels
 * @param set options of the job, {@code key=value}, model and device included
 */
public record ScaleOptions(
        Path home,
        boolean idle,
        List<Integer> cameras,
        List<Integer> partitions,
        List<Integer> taskManagers,
        int rounds,
        double seconds,
        double framesPerSecond,
        double eachPerSecond,
        long backlog,
        int width,
        int height,
        Path output,
        List<String> set) {
    int mostCameras() {
        return cameras.get(cameras.size() - 1);
    }
}
