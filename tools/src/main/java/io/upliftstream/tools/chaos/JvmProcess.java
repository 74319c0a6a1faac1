package io.upliftstream.tools.chaos;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A Java program in a process of its own, which can be killed and started again. Its output goes to a file. */
public final class JvmProcess implements AutoCloseable {
    private static final long STOP_SECONDS = 30;

    private final String name;
    private final List<String> command;
    private final Map<String, String> environment;
    private final File log;
    private @Nullable Process process;
    private boolean wanted;
    private boolean closed;

    /**
     * @param enter what stands before the command line, such as {@code ip netns exec NAME}; it replaces itself with it
     * @param options of the JVM
     * @param program main class and its arguments
     */
    JvmProcess(
            String name,
            List<String> enter,
            List<Path> classPath,
            List<String> options,
            List<String> program,
            Map<String, String> environment,
            Path log) {
        this.name = name;
        this.environment = environment;
        this.log = log.toFile();
        command = new ArrayList<>(enter);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(options);
        command.add("-cp");
        command.add(String.join(
                File.pathSeparator, classPath.stream().map(Path::toString).toList()));
        command.addAll(program);
    }

    public String name() {
        return name;
    }

    /** Starts the program; returns at once. */
    public synchronized void start() throws IOException {
        if (closed) {
            throw new IOException(name + " cannot be started (expected: before its cluster was closed)");
        }
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log));
        builder.environment().putAll(environment);
        process = builder.start();
        wanted = true;
    }

    /** Starts the program again if it ended by itself, as a service manager does; whether it did. */
    synchronized boolean revive() throws IOException {
        if (closed || !missing()) {
            return false;
        }
        start();
        return true;
    }

    /** Ends the process as {@code kill -9} does, and returns when it is gone. */
    public synchronized void kill() throws InterruptedException {
        wanted = false;
        if (process != null) {
            process.destroyForcibly().waitFor();
        }
    }

    /** Ends the process as {@code kill} does, in half a minute or by force. */
    synchronized void stop() throws InterruptedException {
        wanted = false;
        if (process != null) {
            process.destroy();
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                kill();
            }
        }
    }

    /** Sends a signal such as STOP or CONT, unless the process has ended. */
    synchronized void signal(String signal) throws IOException {
        if (alive()) {
            Command.run("kill", "-" + signal, Long.toString(pid()));
        }
    }

    public synchronized boolean alive() {
        return process != null && process.isAlive();
    }

    /** Whether the program ended by itself. */
    synchronized boolean missing() {
        return wanted && !alive();
    }

    /** The id of the process that runs now or ran last. */
    public synchronized long pid() {
        return process == null ? -1 : process.pid();
    }

    /** Processor time of the process so far, in milliseconds: of all threads, those that compile and collect included. */
    public double cpuMillis() {
        return cpuMillis(ProcessHandle.of(pid()).orElseThrow());
    }

    /** That of any process of this user; 0 where the system does not say. */
    public static double cpuMillis(ProcessHandle process) {
        return process.info().totalCpuDuration().orElse(Duration.ZERO).toMillis();
    }

    /**
     * Megabytes of what is alive on the heap, after a full collection.
     *
     * @throws IOException if this process's Java is no JDK, or the other process does not answer
     */
    public double liveMegabytes() throws IOException {
        Path jcmd = Path.of(System.getProperty("java.home"), "bin", "jcmd");
        String histogram = Command.run(jcmd.toString(), Long.toString(pid()), "GC.class_histogram");
        String total = histogram.substring(histogram.lastIndexOf("Total")); // instances, bytes
        return Long.parseLong(total.split("\\s+", -1)[2]) / 1048576.0;
    }

    Path log() {
        return log.toPath();
    }

    /** Kills the process; no other is started. */
    @Override
    public synchronized void close() {
        closed = true;
        if (process != null) {
            process.destroyForcibly();
            boolean interrupted = Thread.interrupted();
            process.onExit().join();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
