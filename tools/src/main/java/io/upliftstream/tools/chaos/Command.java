package io.upliftstream.tools.chaos;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;

/** Programs of the system, such as {@code ip} and {@code mount}. */
final class Command {
    private Command() {}

    /**
     * Runs a program and waits for its end.
     *
     * @throws IOException if it is not there or fails; the message is the first line of what it said
     */
    static void run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        try {
            if (process.waitFor() != 0) {
                throw new IOException(said.lines().findFirst().orElse(String.join(" ", command) + " failed"));
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted during " + String.join(" ", command));
        }
    }
}
