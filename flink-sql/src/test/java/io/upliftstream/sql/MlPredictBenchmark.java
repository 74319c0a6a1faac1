package io.upliftstream.sql;

import com.sun.management.OperatingSystemMXBean;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * {@code ML_PREDICT} against the service asked directly, as {@code uplift infer} asks it, and against one call per row; in
 * turns, one model for all. docs/sql.md has the figures.
 *
 * <p>Arguments: a directory of images, and how many rounds.
 */
final class MlPredictBenchmark {
    private static final OperatingSystemMXBean PROCESS =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static final AtomicLong FIRST = new AtomicLong();

    private MlPredictBenchmark() {}

    public static void main(String[] args) throws Exception {
        List<byte[]> images = new ArrayList<>();
        try (Stream<Path> files = Files.list(Path.of(args[0]))) {
            for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                images.add(Files.readAllBytes(file));
            }
        }
        try (DenseService service = DenseService.acquire(new ServiceOptions(Sql.STREET, ModelOptions.AUTO))) {
            System.out.printf("%s; %d images%n", service.describe(), images.size());
            for (int round = 0; round < Integer.parseInt(args[1]); round++) {
                FIRST.set(System.nanoTime());
                report("service", images.size(), () -> direct(service, images));
                report("ML_PREDICT", images.size(), () -> predict(images, 10));
                report("one per row", images.size(), () -> predict(images, 1));
            }
        }
    }

    private interface Run {
        void run() throws Exception;
    }

    private static void report(String name, int images, Run run) throws Exception {
        long cpu = PROCESS.getProcessCpuTime();
        run.run();
        double seconds = (System.nanoTime() - FIRST.get()) / 1e9;
        double cpuSeconds = (PROCESS.getProcessCpuTime() - cpu) / 1e9;
        System.out.printf(
                "%-12s %6.2f images/s, %.3f s of CPU per image%n", name, images / seconds, cpuSeconds / images);
    }

    private static void direct(DenseService service, List<byte[]> images) throws Exception {
        FIRST.set(System.nanoTime());
        Deque<CompletableFuture<DenseResult>> inFlight = new ArrayDeque<>();
        for (byte[] image : images) {
            inFlight.add(service.submit(image));
            if (inFlight.size() >= service.preferredInFlight()) {
                inFlight.remove().get();
            }
        }
        while (!inFlight.isEmpty()) {
            inFlight.remove().get();
        }
    }

    /** All but the start of the job counts, which does not grow with its frames. */
    private static void predict(List<byte[]> images, int concurrent) throws Exception {
        FIRST.set(0);
        Sql sql = new Sql();
        sql.tables.createTemporaryView(
                "frames",
                sql.tables
                        .fromDataStream(
                                sql.env.fromSequence(0, images.size() - 1).map(n -> {
                                    FIRST.compareAndSet(0, System.nanoTime());
                                    return images.get(n.intValue());
                                }))
                        .as("v"));
        sql.run("CREATE MODEL street INPUT (image BYTES) OUTPUT (segmentation BYTES, features BYTES, depth BYTES)"
                        + " WITH ('provider' = 'uplift', 'bundle' = '" + Sql.STREET + "')")
                .run("CREATE TABLE nowhere (segmentation BYTES, features BYTES, depth BYTES)"
                        + " WITH ('connector' = 'blackhole')");
        sql.tables
                .executeSql("INSERT INTO nowhere SELECT segmentation, features, depth FROM ML_PREDICT(TABLE frames,"
                        + " MODEL street, DESCRIPTOR(v), MAP['max-concurrent-operations', '" + concurrent + "'])")
                .await();
    }
}
