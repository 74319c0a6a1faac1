package io.upliftstream.tools.cli;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A command of {@code uplift} in this process.
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

    /** Runs it in a process of its own, with more in its environment. */
    public static Commands start(Path directory, List<String> arguments, Map<String, String> environment)
            throws IOException, InterruptedException {
        List<String> env = new ArrayList<>(List.of("env"));
        environment.forEach((name, value) -> env.add(name + "=" + value));
        Path output = Files.createTempFile(directory, "uplift-", ".log");
        Process process = UpliftProcess.start(directory, output, env, arguments);
        try {
            return new Commands(process.waitFor(), Files.readString(output));
        } finally {
            process.destroyForcibly();
        }
    }
}
