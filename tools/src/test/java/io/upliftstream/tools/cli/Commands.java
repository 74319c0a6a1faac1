package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A command of {@code uplift}, in this process or one of its own.
 *
 * @param output what it printed, errors included
 */
public record Commands(int exitCode, String output) {
    /** Runs it to its end. */
    public static Commands run(List<String> arguments) {
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        StringWriter errors = new StringWriter();
        try (PrintStream into = new PrintStream(printed, true, StandardCharsets.UTF_8)) {
            System.setOut(into);
            System.setErr(into);
            int exitCode = Uplift.run(arguments.toArray(String[]::new), new PrintWriter(errors, true));
            return new Commands(exitCode, printed.toString(StandardCharsets.UTF_8) + errors);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }

    /** Runs it to its end in a process of its own, with more in its environment. */
    public static Commands run(Path directory, List<String> arguments, Map<String, String> environment)
            throws IOException, InterruptedException {
        return end(directory, env(environment), arguments);
    }

    /** A program that runs the one after it with more in its environment. */
    public static List<String> env(Map<String, String> environment) {
        List<String> env = new ArrayList<>(List.of("env"));
        environment.forEach((name, value) -> env.add(name + "=" + value));
        return env;
    }

    /**
     * Runs it to its end in a process of its own, which may crash; what it leaves behind, crash reports as well, goes to a
     * directory.
     *
     * @param jvmOptions beside 512 MB of heap; the later ones win
     */
    public static Commands run(Path directory, List<String> arguments, String... jvmOptions)
            throws IOException, InterruptedException {
        return end(directory, List.of(), arguments, jvmOptions);
    }

    private static Commands end(Path directory, List<String> wrapper, List<String> arguments, String... jvmOptions)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile(directory, "uplift-", ".log");
        Process process = start(directory, output, wrapper, arguments, jvmOptions);
        try {
            assertThat(process.waitFor(10, TimeUnit.MINUTES))
                    .as("the process ends")
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
        return new Commands(process.exitValue(), Files.readString(output));
    }

    /**
     * Starts it in a process of its own, which may crash.
     *
     * @param output where what it prints goes
     * @param wrapper a program that runs the one after it; empty for none
     * @param jvmOptions beside 512 MB of heap; the later ones win
     */
    public static Process start(
            Path directory, Path output, List<String> wrapper, List<String> arguments, String... jvmOptions)
            throws IOException {
        return start(Uplift.class, directory, output, wrapper, arguments, jvmOptions);
    }

    /** As the other, of another program. */
    public static Process start(
            Class<?> main,
            Path directory,
            Path output,
            List<String> wrapper,
            List<String> arguments,
            String... jvmOptions)
            throws IOException {
        // A crash is what some tests ask for: no core of gigabytes.
        List<String> command = new ArrayList<>(wrapper);
        command.addAll(List.of("sh", "-c", "ulimit -c 0; exec \"$0\" \"$@\""));
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("--add-"))
                .forEach(command::add);
        command.addAll(List.of(
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-XX:ErrorFile=" + directory.resolve("crash-%p.log"),
                "-Dai.djl.offline=true",
                "-Djava.io.tmpdir=" + directory));
        command.addAll(List.of(jvmOptions));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
        command.addAll(arguments);
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().put("XDG_STATE_HOME", directory.toString());
        return builder.start();
    }
}
