package io.upliftstream.tools.chaos;

import io.upliftstream.tools.picture.FreshFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What processes hold over a run, twice a minute, as Linux and their JVMs count it. A process that was started again goes on
 * under its name.
 */
final class Vitals implements AutoCloseable {
    /** What is sampled, in this order: sockets are no files here, garbage is part of the heap. */
    static final List<String> QUANTITIES =
            List.of("resident MB", "heap MB", "metaspace MB", "threads", "files", "sockets");

    private static final Logger LOG = LoggerFactory.getLogger(Vitals.class);
    private static final long PERIOD_MILLIS = 30_000;
    private static final double KILOBYTES = 1024;
    /** With fewer of a process there is no early and no late. */
    private static final int MIN_SAMPLES = 6;

    /**
     * One process at one moment.
     *
     * @param second since the first sample's round began
     * @param values of {@link #QUANTITIES}; NaN for what this machine or a Java that is no JDK does not say
     */
    record Sample(double second, String process, List<Double> values) {}

    private final Collection<JvmProcess> processes;
    private final long startNanos = System.nanoTime();
    private final List<Sample> samples = new ArrayList<>();
    private final Thread thread = new Thread(this::watch, "chaos-vitals");

    Vitals(Collection<JvmProcess> processes) {
        this.processes = List.copyOf(processes);
        thread.setDaemon(true);
        thread.start();
    }

    private void watch() {
        try {
            while (true) {
                for (JvmProcess process : processes) {
                    sample(process);
                }
                Thread.sleep(PERIOD_MILLIS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void sample(JvmProcess process) {
        try {
            Sample sample = new Sample((System.nanoTime() - startNanos) / 1e9, process.name(), values(process.pid()));
            synchronized (samples) {
                samples.add(sample);
            }
        } catch (IOException | RuntimeException e) { // such as one of the directory's iterator
            LOG.debug("{} has ended, or this is not Linux", process.name(), e);
        }
    }

    /**
     * What a process of this user holds now.
     *
     * @throws IOException if it has ended, or this is not Linux
     */
    static List<Double> values(long pid) throws IOException {
        Path kernel = Path.of("/proc", Long.toString(pid));
        List<String> status = Files.readAllLines(kernel.resolve("status"));
        int files = 0;
        int sockets = 0;
        try (DirectoryStream<Path> open = Files.newDirectoryStream(kernel.resolve("fd"))) {
            for (Path file : open) {
                if (isSocket(file)) {
                    sockets++;
                } else {
                    files++;
                }
            }
        }
        double[] heap = heap(pid);
        return List.of(
                field(status, "VmRSS:") / KILOBYTES,
                heap[0],
                heap[1],
                field(status, "Threads:"),
                (double) files,
                (double) sockets);
    }

    private static boolean isSocket(Path file) {
        try {
            return Files.readSymbolicLink(file).toString().startsWith("socket:");
        } catch (IOException e) {
            return false; // It was closed in between.
        }
    }

    private static double field(List<String> status, String name) {
        return status.stream()
                .filter(line -> line.startsWith(name))
                .mapToDouble(line -> Double.parseDouble(line.replaceAll("\\D", "")))
                .findFirst()
                .orElse(Double.NaN);
    }

    /** Megabytes of heap and of metaspace that are in use. */
    private static double[] heap(long pid) {
        try {
            Path jstat = Path.of(System.getProperty("java.home"), "bin", "jstat");
            return heap(Command.run(jstat.toString(), "-J-XX:TieredStopAtLevel=1", "-gc", Long.toString(pid)));
        } catch (IOException | RuntimeException e) {
            return new double[] {Double.NaN, Double.NaN};
        }
    }

    /** The same of what {@code jstat -gc} says, before which a JVM may tell of JAVA_TOOL_OPTIONS. */
    static double[] heap(String said) {
        List<String> lines =
                said.lines().dropWhile(line -> !line.contains(" EU ")).toList();
        List<String> names = Arrays.asList(lines.get(0).strip().split("\\s+", -1));
        String[] values = lines.get(1).strip().split("\\s+", -1);
        double heap = DoubleStream.of(
                        kilobytes(names, values, "S0U"),
                        kilobytes(names, values, "S1U"),
                        kilobytes(names, values, "EU"),
                        kilobytes(names, values, "OU"))
                .filter(Double::isFinite) // Not every collector has survivors.
                .sum();
        return new double[] {heap / KILOBYTES, kilobytes(names, values, "MU") / KILOBYTES};
    }

    private static double kilobytes(List<String> names, String[] values, String name) {
        String value = values[names.indexOf(name)];
        return value.equals("-") ? Double.NaN : Double.parseDouble(value.replace(',', '.')); // of the user's locale
    }

    List<Sample> samples() {
        synchronized (samples) {
            return List.copyOf(samples);
        }
    }

    /** Leaves chaos-processes.csv and chaos-processes.png. */
    void write(Path directory) throws IOException {
        List<Sample> all = samples();
        String csv = all.stream()
                .map(sample -> String.format(Locale.ROOT, "%.1f,%s,", sample.second, sample.process)
                        + sample.values.stream()
                                .map(value -> String.format(Locale.ROOT, "%.1f", value))
                                .collect(Collectors.joining(",")))
                .collect(Collectors.joining("\n", "second,process," + String.join(",", QUANTITIES) + "\n", "\n"));
        FreshFile.write(directory.resolve("chaos-processes.csv"), csv.getBytes(StandardCharsets.UTF_8));
        ChaosPlot.write(all, directory.resolve("chaos-processes.png"));
    }

    /**
     * What every process held early and late in the run, in Markdown: the medians of its second sixth and of its last. Empty
     * after a run that was too short for that.
     */
    String table() {
        return table(samples());
    }

    static String table(List<Sample> samples) {
        double end = samples.stream().mapToDouble(Sample::second).max().orElse(0);
        StringBuilder table = new StringBuilder("| process | " + String.join(" | ", QUANTITIES) + " |\n| ---");
        table.append(" | ---:".repeat(QUANTITIES.size())).append(" |\n");
        for (String process : samples.stream().map(Sample::process).collect(Collectors.toCollection(TreeSet::new))) {
            List<Sample> of = samples.stream()
                    .filter(sample -> sample.process.equals(process))
                    .toList();
            List<Sample> early = of.stream()
                    .filter(sample -> sample.second >= end / 6 && sample.second <= end / 3)
                    .toList();
            List<Sample> late =
                    of.stream().filter(sample -> sample.second >= end * 5 / 6).toList();
            if (of.size() < MIN_SAMPLES || early.isEmpty() || late.isEmpty()) {
                return "";
            }
            table.append("| ").append(process);
            IntStream.range(0, QUANTITIES.size())
                    .forEach(which -> table.append(
                            String.format(Locale.ROOT, " | %.0f → %.0f", median(early, which), median(late, which))));
            table.append(" |\n");
        }
        return table.toString();
    }

    private static double median(List<Sample> samples, int which) {
        double[] sorted = samples.stream()
                .mapToDouble(sample -> sample.values.get(which))
                .sorted()
                .toArray();
        return sorted[sorted.length / 2];
    }

    @Override
    public void close() {
        thread.interrupt();
    }
}
