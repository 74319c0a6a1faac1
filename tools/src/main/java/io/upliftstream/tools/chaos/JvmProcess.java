package io.upliftstream.tools.chaos;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A Java program in a process of its own, which can be killed and started again. Its output goes to a file. */
public final class JvmProcess implements AutoCloseable {
    private final String name;
    private final List<String> command;
    private final Map<String, String> environment;
    private final File log;
    private @Nullable Process process;
    private boolean closed;

    /**
     * @param options of the JVM
     * @param program main class and its arguments
     */
    JvmProcess(
            String name,
            List<Path> classPath,
            List<String> options,
            List<String> program,
            Map<String, String> environment,
            Path log) {
        this.name = name;
        this.environment = environment;
        this.log = log.toFile();
        command = new ArrayList<>();
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
    }

    /** Ends the process as {@code kill -9} does, and returns when it is gone. */
    public synchronized void kill() throws InterruptedException {
        if (process != null) {
            process.destroyForcibly().waitFor();
        }
    }

    public synchronized boolean alive() {
        return process != null && process.isAlive();
    }

    /** The id of the process that runs now or ran last. */
    public synchronized long pid() {
        return process == null ? -1 : process.pid();
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
