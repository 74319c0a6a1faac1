package io.upliftstream.tools.chaos;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What {@code uplift chaos} does to processes, and to its own reader and publisher; the first word of a kind is its
 * family.
 */
public enum FaultKind {
    KILL_TASKMANAGER("taskmanager", "kill -9, started again at once"),
    KILL_JOBMANAGER("jobmanager", "kill -9, started again at once"),
    KILL_BROKER("broker", "kill -9, started again at once"),
    KILL_ZOOKEEPER("zookeeper", "kill -9, started again at once"),
    BROKER_STOP("broker", "SIGTERM: hands its partitions to the others, away for a while"),
    BROKER_EMPTY("broker", "kill -9, comes back with an empty log directory"),
    PAUSE_TASKMANAGER("taskmanager", "SIGSTOP, SIGCONT"),
    PAUSE_JOBMANAGER("jobmanager", "SIGSTOP, SIGCONT"),
    PAUSE_BROKER("broker", "SIGSTOP, SIGCONT"),
    PAUSE_ZOOKEEPER("zookeeper", "SIGSTOP, SIGCONT"),
    NETWORK_ISOLATE("", "one process reaches no other, and none reaches it"),
    NETWORK_PAIR("", "two processes do not reach each other"),
    NETWORK_ONE_WAY("", "what one process sends does not reach another"),
    NETWORK_LOSS("", "three of ten packets of one process are lost"),
    NETWORK_SLOW("", "512 kbit/s from and to one process"),
    NETWORK_DELAY("", "half a second from and to one process"),
    DISK_FULL_CHECKPOINTS("checkpoints", "no room for checkpoints and Flink's high availability"),
    DISK_READONLY_CHECKPOINTS("checkpoints", "checkpoints and high availability cannot be written"),
    DISK_READONLY_QUARANTINE("quarantine", "the quarantine's notes cannot be written"),
    DISK_FULL_BROKER("broker", "no room for a broker's logs"),
    DISK_SLOW_ZOOKEEPER("zookeeper", "what ZooKeeper writes is on its disk after a second or more"),
    CLOCK_AHEAD("", "the clock of one process leaps ten minutes ahead, and back"),
    CLOCK_BEHIND("", "the clock of one process leaps ten minutes back, and ahead"),
    CLOCK_DRIFT_AHEAD("", "the clock of one process gains a tenth of a second every second, then is put right"),
    CLOCK_DRIFT_BEHIND("", "the clock of one process loses a tenth of a second every second, then is put right"),
    READER_RESTART("reader", "ends without a commit, comes back at its group's offsets"),
    PUBLISHER_RESTART("publisher", "ends with frames on the way, which nobody sends again");

    private final String victims;
    private final String description;

    FaultKind(String victims, String description) {
        this.victims = victims;
        this.description = description;
    }

    /** As options and reports name it, such as kill-broker. */
    public String label() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Such as kill. */
    public String family() {
        return label().replaceFirst("-.*", "");
    }

    public String description() {
        return description;
    }

    /** The ones of so many names that it can be done to; a disk or a client that is no such process has its own name. */
    List<String> victims(List<String> processes) {
        List<String> named =
                processes.stream().filter(name -> name.startsWith(victims)).toList();
        return named.isEmpty() ? List.of(victims) : named;
    }

    /** Whether it is over as soon as it has been done. */
    boolean atOnce() {
        return family().equals("kill");
    }

    /** The kinds that a word names: its own, those of a family, or all; none if it is no such word. */
    public static Set<FaultKind> named(String word) {
        Set<FaultKind> kinds = EnumSet.allOf(FaultKind.class);
        kinds.removeIf(kind -> !word.equals("all") && !word.equals(kind.family()) && !word.equals(kind.label()));
        return kinds;
    }

    /** The families, for people to choose from. */
    public static String families() {
        return Arrays.stream(values()).map(FaultKind::family).distinct().collect(Collectors.joining(", "));
    }
}
