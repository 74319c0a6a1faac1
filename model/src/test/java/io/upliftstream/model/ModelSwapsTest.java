package io.upliftstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** One model after another, each loaded beside the one before, which is closed: {@code -Dmodel.swaps=200} for long. */
class ModelSwapsTest {
    private static final int SWAPS = Integer.getInteger("model.swaps", 8);
    /** What PyTorch, its allocator and the JVM take until they take no more. */
    private static final int SETTLED = Math.max(4, SWAPS / 4);

    private static final long MOST_GROWTH = 48L << 20;

    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path temporary;

    @AfterEach
    void leavesNoThreads() throws InterruptedException {
        TestBundles.assertNoThreadsLeft();
    }

    @Test
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void memoryStaysFlat() throws Exception {
        Path other = TestBundles.copyOfTiny(temporary);
        TestBundles.editManifest(other, root -> root.put("version", "2"));
        byte[] frame = TestBundles.image("exif-1.jpg");
        List<Long> resident = new ArrayList<>();
        DenseService serving = DenseService.acquire(new ServiceOptions(TestBundles.TINY, ModelOptions.AUTO));
        try {
            for (int swap = 0; swap < SWAPS; swap++) {
                Path bundle = swap % 2 == 0 ? other : TestBundles.TINY;
                DenseService next = DenseService.acquire(new ServiceOptions(bundle, ModelOptions.AUTO));
                assertThat(next.submit(frame).get().output().heads()).hasSize(3);
                serving.close();
                serving = next;
                resident.add(residentBytes());
            }
        } finally {
            serving.close();
        }
        long settled = resident.get(SETTLED - 1);
        long last = resident.get(SWAPS - 1);
        System.out.printf(
                "%d swaps: %d MiB resident after %d, %d MiB after all%n", SWAPS, settled >> 20, SETTLED, last >> 20);
        assertThat(last - settled).as("resident after each swap: %s", resident).isLessThan(MOST_GROWTH);
    }

    private static long residentBytes() throws IOException {
        Path statm = Path.of("/proc/self/statm");
        return Files.exists(statm)
                ? 4096 * Long.parseLong(Files.readString(statm).split(" ", -1)[1])
                : 0;
    }
}
