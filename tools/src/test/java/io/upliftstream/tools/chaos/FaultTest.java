package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class FaultTest {
    private static final List<String> PROCESSES = new ClusterShape(3, 2, 2).processes();

    @Test
    void aSeedDecidesTheFaults() {
        assertThat(plan(7)).isEqualTo(plan(7)).isNotEqualTo(plan(8));
    }

    @Test
    void everyKindComesAsOftenAsEveryOther() {
        assertThat(plan(1).stream().collect(Collectors.groupingBy(Fault::kind, Collectors.counting())))
                .hasSize(FaultKind.values().length)
                .allSatisfy((kind, times) -> assertThat(times).isBetween(2L, 3L));
    }

    @Test
    void faultsAreDoneToWhatTheirKindIsFor() {
        for (Fault fault : plan(3)) {
            assertThat(fault.kind().victims(PROCESSES)).contains(fault.victim());
            assertThat(fault.other()).isNotEqualTo(fault.victim());
            assertThat(fault.seconds())
                    .isBetween(fault.kind().atOnce() ? 0 : 5, fault.kind().atOnce() ? 0 : 20);
        }
        assertThat(FaultKind.PAUSE_BROKER.victims(PROCESSES)).containsExactly("broker-1", "broker-2", "broker-3");
        assertThat(FaultKind.DISK_FULL_CHECKPOINTS.victims(PROCESSES)).containsExactly("checkpoints");
        assertThat(FaultKind.READER_RESTART.victims(PROCESSES)).containsExactly("reader");
    }

    @Test
    void wordsNameKindsFamiliesOrAll() {
        assertThat(FaultKind.named("all")).hasSize(FaultKind.values().length);
        assertThat(FaultKind.named("zookeeper")).isEmpty();
        assertThat(FaultKind.named("broker")).isEqualTo(Set.of(FaultKind.BROKER_STOP, FaultKind.BROKER_EMPTY));
        assertThat(FaultKind.named("broker-empty")).containsExactly(FaultKind.BROKER_EMPTY);
        assertThat(FaultKind.named("broker-")).isEmpty();
    }

    private static List<Fault> plan(long seed) {
        return Fault.plan(EnumSet.allOf(FaultKind.class), 60, PROCESSES, 20, new Random(seed));
    }
}
