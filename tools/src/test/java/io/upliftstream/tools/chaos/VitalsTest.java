package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VitalsTest {
    private static final int RESIDENT = Vitals.QUANTITIES.indexOf("resident MB");
    private static final int HEAP = Vitals.QUANTITIES.indexOf("heap MB");
    private static final int METASPACE = Vitals.QUANTITIES.indexOf("metaspace MB");
    private static final int THREADS = Vitals.QUANTITIES.indexOf("threads");
    private static final int FILES = Vitals.QUANTITIES.indexOf("files");
    private static final int SOCKETS = Vitals.QUANTITIES.indexOf("sockets");
    private static final int MANY = 200;

    @Test
    void seesWhatAProcessHolds(@TempDir Path directory) throws IOException {
        long pid = ProcessHandle.current().pid();
        List<Double> before = Vitals.values(pid);
        assertThat(before.get(RESIDENT)).isGreaterThan(before.get(METASPACE)).isLessThan(1e5);
        assertThat(before.get(HEAP)).isGreaterThan(1).isLessThan(before.get(RESIDENT));
        assertThat(before.get(METASPACE)).isGreaterThan(5);
        assertThat(before.get(THREADS)).isGreaterThan(5);
        List<InputStream> open = new ArrayList<>();
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            for (int i = 0; i < MANY; i++) {
                open.add(Files.newInputStream(Files.createFile(directory.resolve("file-" + i))));
            }
            List<Double> after = Vitals.values(pid);
            assertThat(after.get(FILES) - before.get(FILES)).isBetween(MANY - 20.0, MANY + 20.0);
            assertThat(after.get(SOCKETS)).as("with %s", socket).isGreaterThanOrEqualTo(1);
        } finally {
            for (InputStream file : open) {
                file.close();
            }
        }
    }

    @Test
    void understandsWhatAJvmSaysElsewhere() {
        assertThat(
                        Vitals.heap(
                                """
                        Picked up JAVA_TOOL_OPTIONS: -Duser.language=de
                            S0C         S1C         S0U         S1U          EC           EU           OC           OU          MC         MU
                                0,0      1024,0         -        1024,0       8192,0       2048,0      30720,0       1024,0     5120,0     4096,0
                        """))
                .containsExactly(4, 4);
    }

    @Test
    void comparesEarlyWithLate() {
        List<Vitals.Sample> samples = new ArrayList<>();
        for (int minute = 0; minute <= 60; minute++) {
            samples.add(
                    new Vitals.Sample(60 * minute, "broker-1", List.of(100.0, 50.0, 40.0, 90.0, 7.0, 5.0 + minute)));
        }
        assertThat(Vitals.table(samples))
                .contains("| broker-1 | 100 → 100 | 50 → 50 | 40 → 40 | 90 → 90 | 7 → 7 | 20 → 60 |");
        assertThat(Vitals.table(samples.subList(0, 5)))
                .as("a run that was too short")
                .isEmpty();
    }
}
