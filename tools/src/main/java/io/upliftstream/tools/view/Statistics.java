package io.upliftstream.tools.view;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;

/** What came on the topics, second by second, for the last five minutes; and in all. */
final class Statistics {
    private static final int SECONDS = 300;
    private static final int MAX_LATENCIES = 4096;
    /** Of a map whose keys come from the topics: whoever writes to them may invent one for every record. */
    private static final int MAX_KEYS = 100;

    private static final int MAX_REASON = 200;
    private static final String OTHER = "other";

    private static final class Second {
        long epoch;
        int results;
        long dropped;
        long failed;
        final double[] latencies = new double[MAX_LATENCIES];

        void begin(long second) {
            epoch = second;
            results = 0;
            dropped = 0;
            failed = 0;
        }

        /** Milliseconds; NaN if no result came. */
        double percentile(double share) {
            int count = Math.min(results, MAX_LATENCIES);
            if (count == 0) {
                return Double.NaN;
            }
            double[] sorted = Arrays.copyOf(latencies, count);
            Arrays.sort(sorted);
            return sorted[(int) Math.min(count - 1, Math.floor(share * count))];
        }
    }

    private static final class Camera {
        long results;
        long dropped;
        long failed;
    }

    private final long since = System.currentTimeMillis() / 1000;
    private final Second[] seconds = new Second[SECONDS];
    private final Map<String, Camera> cameras = new TreeMap<>();
    private final Map<String, Long> dropReasons = new TreeMap<>();
    private final Map<String, Long> failureReasons = new TreeMap<>();
    private final Map<String, Long> unreadable = new TreeMap<>();

    Statistics() {
        Arrays.setAll(seconds, i -> new Second());
    }

    private Second second(long epoch) {
        Second second = seconds[Math.floorMod(epoch, SECONDS)];
        if (second.epoch != epoch) {
            second.begin(epoch);
        }
        return second;
    }

    /** @param latencyMillis from capture until it was read here */
    synchronized void result(String camera, long epochSecond, double latencyMillis) {
        Second second = second(epochSecond);
        if (second.results < MAX_LATENCIES) {
            second.latencies[second.results] = latencyMillis;
        }
        second.results++;
        camera(camera).results++;
    }

    synchronized void dropped(String camera, long epochSecond, String reason, long count) {
        second(epochSecond).dropped += count;
        count(dropReasons, reason, count);
        camera(camera).dropped += count;
    }

    synchronized void failed(String camera, long epochSecond, String reason) {
        second(epochSecond).failed++;
        count(failureReasons, reason, 1);
        camera(camera).failed++;
    }

    /**
     * Counts a record that is none.
     *
     * @return whether it is the first for this reason
     */
    synchronized boolean unreadable(String topic, String reason) {
        return count(unreadable, topic + ": " + reason, 1);
    }

    private static boolean count(Map<String, Long> reasons, String reason, long count) {
        String counted = reason.length() > MAX_REASON ? reason.substring(0, MAX_REASON) + " …" : reason;
        boolean known = reasons.containsKey(counted);
        if (!known && reasons.size() >= MAX_KEYS) {
            counted = OTHER;
        }
        return reasons.merge(counted, count, Long::sum) == count && !known;
    }

    private Camera camera(String name) {
        String counted = cameras.containsKey(name) || cameras.size() < MAX_KEYS ? name : OTHER;
        return cameras.computeIfAbsent(counted, key -> new Camera());
    }

    /** Everything, as JSON's maps and lists; the series end with the last whole second. */
    synchronized Map<String, Object> about(long nowSecond) {
        List<Second> past = new ArrayList<>();
        List<Long> epochs = new ArrayList<>();
        for (long epoch = nowSecond - SECONDS + 1; epoch < nowSecond; epoch++) {
            past.add(second(epoch));
            epochs.add(epoch);
        }
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("since", since);
        about.put("seconds", epochs);
        about.put("rate", series(past, second -> second.results));
        about.put("p50", series(past, second -> second.percentile(0.5)));
        about.put("p95", series(past, second -> second.percentile(0.95)));
        about.put("p99", series(past, second -> second.percentile(0.99)));
        about.put("dropped", series(past, second -> second.dropped));
        about.put("failed", series(past, second -> second.failed));
        Map<String, Object> each = new LinkedHashMap<>();
        cameras.forEach((name, camera) ->
                each.put(name, Map.of("results", camera.results, "dropped", camera.dropped, "failed", camera.failed)));
        about.put("cameras", each);
        about.put("dropReasons", new TreeMap<>(dropReasons));
        about.put("failureReasons", new TreeMap<>(failureReasons));
        about.put("unreadable", new TreeMap<>(unreadable));
        return about;
    }

    /** NaN is null in JSON, a gap in a plot. */
    private static List<Double> series(List<Second> seconds, ToDoubleFunction<Second> value) {
        List<Double> series = new ArrayList<>();
        for (Second second : seconds) {
            double number = value.applyAsDouble(second);
            series.add(Double.isNaN(number) ? null : number);
        }
        return series;
    }
}
