package io.upliftstream.tools.bench;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Times several tasks in turns, A B C A B C …: whatever else the machine does falls on all of them alike, so that their
 * ratios hold where absolute times do not.
 */
final class Turns {
    /** What a task computed, so that the JIT compiler cannot leave it out. */
    private static volatile @Nullable Object unused;

    private Turns() {}

    /** Work whose time counts. */
    interface Task {
        Object run() throws Exception;
    }

    /**
     * Runs every task {@code warmUp} times, then {@code rounds} times for the clock.
     *
     * @return milliseconds of one run of each task, the median
     */
    static double[] medianMillis(int warmUp, int rounds, Task... tasks) throws Exception {
        double[][] times = new double[tasks.length][rounds];
        for (int round = -warmUp; round < rounds; round++) {
            for (int i = 0; i < tasks.length; i++) {
                long start = System.nanoTime();
                unused = tasks[i].run();
                double millis = (System.nanoTime() - start) / 1e6;
                if (round >= 0) {
                    times[i][round] = millis;
                }
            }
        }
        return Arrays.stream(times).mapToDouble(Turns::median).toArray();
    }

    static double median(double... values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }
}
