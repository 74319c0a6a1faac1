package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;

/** Programs of the system, such as {@code ip} and {@code mount}. */
final class Command {
    /** Ctrl-C in a terminal reaches what was started there as well. */
    private static final int ENDED_BY_INTERRUPT = 130;

    private Command() {}

    /**
     * Runs a program and waits for its end, also if the thread is interrupted meanwhile: what it does takes a moment, and
     * half of it could not be undone.
     *
     * @return what it said
     * @throws InterruptedIOException if it failed because of an interruption
     * @throws IOException if it is not there or fails; the message is the first line of what it said
     */
    static String run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        int status = process.onExit().join().exitValue();
        if (status == ENDED_BY_INTERRUPT
                || (status != 0 && Thread.currentThread().isInterrupted())) {
            throw new InterruptedIOException("interrupted during " + String.join(" ", command));
        }
        if (status != 0) {
            throw new IOException(said.lines().findFirst().orElse(String.join(" ", command) + " failed"));
        }
        return said;
    }
}
