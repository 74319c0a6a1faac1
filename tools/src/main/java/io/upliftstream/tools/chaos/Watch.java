package io.upliftstream.tools.chaos;

import io.upliftstream.tools.traffic.Account;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks at a run once a second, on a thread of its own, from outside: how many results there are, how many frames are open,
 * how old the newest checkpoint is. Starts processes again that ended by themselves, as a service manager does.
 */
final class Watch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Watch.class);
    private static final long PERIOD_MILLIS = 1000;
    /** Like systemd's RestartSec with some patience: what cannot run now would take the processor from what can. */
    private static final int PERIODS_BEFORE_REVIVAL = 5;

    /**
     * One look.
     *
     * @param second of the run
     * @param resultsPerSecond since the look before
     * @param open frames that were sent and have not ended
     * @param checkpointAgeSeconds since another checkpoint was first seen
     * @param revived processes that were started again because they had ended by themselves, since the look before
     */
    record Look(double second, double resultsPerSecond, long open, double checkpointAgeSeconds, List<String> revived) {}

    private final ProcessCluster cluster;
    private final String job;
    private final Account account;
    private final int heads;
    private final long startNanos = System.nanoTime();
    private final List<Look> looks = new ArrayList<>();
    private final Thread thread = new Thread(this::look, "chaos-watch");
    private volatile boolean closed;

    Watch(ProcessCluster cluster, String job, Account account, int heads) {
        this.cluster = cluster;
        this.job = job;
        this.account = account;
        this.heads = heads;
        thread.setDaemon(true);
        thread.start();
    }

    /** Seconds since the watch began. */
    double second() {
        return (System.nanoTime() - startNanos) / 1e9;
    }

    private void look() {
        String checkpoint = "";
        double checkpointSecond = 0;
        double before = 0;
        long records = 0;
        int dead = 0;
        try {
            while (!closed) {
                Thread.sleep(PERIOD_MILLIS);
                String newest = cluster.flink().checkpoint(job);
                double now = second();
                if (!newest.isEmpty() && !newest.equals(checkpoint)) {
                    checkpoint = newest;
                    checkpointSecond = now;
                }
                dead = cluster.processes().stream().allMatch(JvmProcess::alive) ? 0 : dead + 1;
                List<String> revived = dead > PERIODS_BEFORE_REVIVAL ? revive() : List.of();
                long all = account.records();
                Look look = new Look(
                        now, (all - records) / (now - before) / heads, account.open(), now - checkpointSecond, revived);
                before = now;
                records = all;
                synchronized (looks) {
                    looks.add(look);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private List<String> revive() {
        List<String> revived = new ArrayList<>();
        for (JvmProcess process : cluster.processes()) {
            try {
                if (process.revive()) {
                    revived.add(process.name());
                }
            } catch (IOException e) {
                LOG.warn("{} cannot be started again", process.name(), e);
            }
        }
        return revived;
    }

    /** What was seen so far. */
    List<Look> looks() {
        synchronized (looks) {
            return List.copyOf(looks);
        }
    }

    @Override
    public void close() {
        closed = true;
        thread.interrupt();
    }
}
