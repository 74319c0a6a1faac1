package io.upliftstream.tools.cli;

import io.upliftstream.model.DenseService;
import java.lang.reflect.Proxy;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ctrl-C, SIGTERM and the end of a terminal. The first interrupts the command, which then closes what it opened; the
 * second ends the process at once, as does the first when the command has not ended a minute later. Java's own handler
 * would run every shutdown hook while the command still needs what these take down, and would not hear a second signal.
 */
final class StopSignals {
    private static final Logger LOG = LoggerFactory.getLogger(StopSignals.class);
    private static final int GRACE_SECONDS = 60;
    private static final AtomicReference<Supplier<String>> LAST_WORDS = new AtomicReference<>(StopSignals::noWords);

    private final Thread command;
    private int exitCode;

    private StopSignals(Thread command) {
        this.command = command;
    }

    /** Watches for signals from now on. */
    static StopSignals watch(Thread command) {
        StopSignals signals = new StopSignals(command);
        signals.handle("HUP", 1);
        signals.handle("INT", 2);
        signals.handle("TERM", 15);
        return signals;
    }

    private static String noWords() {
        return "Ended at once.";
    }

    /** What a second signal leaves undone, to be said before the process ends; a third does not wait for it. */
    static void lastWords(Supplier<String> words) {
        LAST_WORDS.set(words);
    }

    /** The same for a command whose processes would outlive it: a second signal ends and removes them first. */
    static void endWith(Runnable end) {
        lastWords(() -> {
            end.run();
            return "Ended at once with all that was started; there is no report.";
        });
    }

    /** The command's exit code, but that of the signal if there was one. */
    synchronized int exitCode(int ofCommand) {
        return exitCode == 0 ? ofCommand : exitCode;
    }

    /** Every JDK has the class, and the compiler warns whoever names it. */
    private void handle(String name, int number) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object handle = Proxy.newProxyInstance(
                    handler.getClassLoader(), new Class<?>[] {handler}, (proxy, method, args) -> {
                        received(number);
                        return null;
                    });
            signal.getMethod("handle", signal, handler)
                    .invoke(null, signal.getConstructor(String.class).newInstance(name), handle);
        } catch (ReflectiveOperationException e) {
            LOG.warn("signal {} ends the process at once", name, e);
        }
    }

    private void received(int number) {
        synchronized (this) {
            if (exitCode == 0) {
                exitCode = 128 + number; // as shells have it
                Uplift.stop(command);
                Thread late = new Thread(this::haltLate, "stop");
                late.setDaemon(true);
                late.start();
                return;
            }
        }
        halt();
    }

    private void haltLate() {
        try {
            TimeUnit.SECONDS.sleep(GRACE_SECONDS);
            halt();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void halt() {
        try {
            System.out.println(LAST_WORDS.getAndSet(StopSignals::noWords).get());
            System.out.flush();
        } finally {
            DenseService.exitAtOnce(exitCode(1));
        }
    }
}
