package io.upliftstream.job;

import java.io.Serializable;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The machine's clock, but for leaps, and for a drift of more than a second in a minute: it goes on as before for a minute,
 * and then follows, unless the machine's clock came back. A leap that is taken back costs no frame; without it, ten minutes
 * ahead would make every frame too old for live mode, and ten minutes back would let every backlog pass.
 *
 * <p>Limit: time that a machine was suspended for is a leap, too, so a backlog that came of it passes for a minute.
 */
final class SteadyClock extends Clock implements Serializable {
    private static final Logger LOG = LoggerFactory.getLogger(SteadyClock.class);
    private static final long serialVersionUID = 1L;

    /** More than a clock is slewed by in a minute. */
    private static final long LEAP_MILLIS = 1000;

    private static final long PATIENCE_MILLIS = Duration.ofMinutes(1).toMillis();

    /**
     * One for each class loader of the job, which a TaskManager keeps as long as the job has a slot there: a task that
     * restarts while the clock is wrong does not begin anew with that.
     */
    private static final SteadyClock MACHINE = new SteadyClock(Clock.systemUTC(), System::nanoTime);

    /** Counts nanoseconds from any moment on, whatever the clock does. */
    interface Ticker extends LongSupplier, Serializable {}

    private final Clock machine;
    private final Ticker ticker;
    private boolean begun;
    /** What the clock said more than the ticker, up to a minute ago. */
    private long offsetMillis;

    private long offsetSinceMillis;

    /** What this clock says more than the ticker. */
    private long toldMillis;

    private boolean leapt;
    private long leapSinceMillis;

    SteadyClock(Clock machine, Ticker ticker) {
        this.machine = machine;
        this.ticker = ticker;
    }

    static SteadyClock ofMachine() {
        return MACHINE;
    }

    /** Milliseconds from any moment on, for durations: where a clock is steady, what no leap changes, also one that stays. */
    static long elapsedMillis(Clock clock) {
        return clock instanceof SteadyClock steady ? steady.elapsedMillis() : clock.millis();
    }

    private Object readResolve() {
        return machine.equals(Clock.systemUTC()) ? MACHINE : this;
    }

    @Override
    public synchronized long millis() {
        long now;
        long found;
        do { // again if this process was paused between the two
            now = elapsedMillis();
            found = machine.millis() - now;
        } while (elapsedMillis() - now > LEAP_MILLIS / 2);
        if (!begun || Math.abs(found - offsetMillis) <= LEAP_MILLIS) {
            if (!begun || now - offsetSinceMillis >= PATIENCE_MILLIS) {
                follow(now, found);
            }
            begun = true;
            leapt = false;
            toldMillis = found;
        } else if (!leapt) {
            LOG.warn(
                    "this machine's clock leapt by {} ms; ages are counted as if it had not, unless it stays so for {} s",
                    found - offsetMillis,
                    TimeUnit.MILLISECONDS.toSeconds(PATIENCE_MILLIS));
            leapt = true;
            leapSinceMillis = now;
        } else if (now - leapSinceMillis >= PATIENCE_MILLIS) {
            LOG.warn("this machine's clock has not come back from its leap; ages change by {} ms", found - toldMillis);
            follow(now, found);
            leapt = false;
            toldMillis = found;
        }
        return now + toldMillis;
    }

    private void follow(long now, long found) {
        offsetMillis = found;
        offsetSinceMillis = now;
    }

    private long elapsedMillis() {
        return TimeUnit.NANOSECONDS.toMillis(ticker.getAsLong());
    }

    @Override
    public Instant instant() {
        return Instant.ofEpochMilli(millis());
    }

    @Override
    public ZoneId getZone() {
        return machine.getZone();
    }

    @Override
    public Clock withZone(ZoneId zone) {
        return new SteadyClock(machine.withZone(zone), ticker);
    }
}
