package io.upliftstream.tools.chaos;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * One fault of a run.
 *
 * @param victim the process, or the disk, that it is done to
 * @param other the process at the far end of a cut; else empty
 * @param seconds until it is undone
 */
record Fault(FaultKind kind, String victim, String other, int seconds) {
    private static final int SHORTEST_SECONDS = 5;
    /** Longer than a broker's session (9 s): else it comes back empty before the others have taken its place. */
    private static final int EMPTY_SECONDS = 15;

    /**
     * The faults of a run, the same for the same arguments: every kind as often as every other, give or take one, in
     * random order.
     *
     * @param longestSeconds of a fault
     */
    static List<Fault> plan(
            Collection<FaultKind> kinds, int count, List<String> processes, int longestSeconds, Random random) {
        List<FaultKind> dealt = new ArrayList<>();
        while (dealt.size() < count) {
            List<FaultKind> round = new ArrayList<>(kinds);
            Collections.shuffle(round, random);
            dealt.addAll(round.subList(0, Math.min(round.size(), count - dealt.size())));
        }
        Collections.shuffle(dealt, random);
        return dealt.stream()
                .map(kind -> of(kind, processes, longestSeconds, random))
                .toList();
    }

    private static Fault of(FaultKind kind, List<String> processes, int longestSeconds, Random random) {
        List<String> victims = kind.victims(processes);
        String victim = victims.get(random.nextInt(victims.size()));
        List<String> others =
                processes.stream().filter(name -> !name.equals(victim)).toList();
        String other = others.get(random.nextInt(others.size()));
        int seconds = SHORTEST_SECONDS + random.nextInt(Math.max(1, longestSeconds - SHORTEST_SECONDS + 1));
        return new Fault(
                kind,
                victim,
                kind == FaultKind.NETWORK_PAIR || kind == FaultKind.NETWORK_ONE_WAY ? other : "",
                kind.atOnce() ? 0 : kind == FaultKind.BROKER_EMPTY ? Math.max(EMPTY_SECONDS, seconds) : seconds);
    }

    @Override
    public String toString() {
        return kind.label() + " " + victim + (other.isEmpty() ? "" : " to " + other)
                + (seconds == 0 ? "" : " for " + seconds + " s");
    }
}
