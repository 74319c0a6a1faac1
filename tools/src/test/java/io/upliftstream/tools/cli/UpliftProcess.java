package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * {@code uplift} in a process of its own, which may crash.
 *
 * @param output what it printed, errors included
 */
record UpliftProcess(int exitCode, String output) {
    /**
     * Runs a command to its end; what it leaves behind, crash reports as well, goes to a directory.
     *
     * @param jvmOptions beside 512 MB of heap; the later ones win
     */
    static UpliftProcess run(Path directory, List<String> arguments, String... jvmOptions)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile(directory, "uplift-", ".log");
        Process process = start(directory, output, List.of(), arguments, jvmOptions);
        try {
            assertThat(process.waitFor(5, TimeUnit.MINUTES))
                    .as("the process ends")
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
        return new UpliftProcess(process.exitValue(), Files.readString(output));
    }

    /**
     * Starts a command.
     *
     * @param output where what it prints goes
     * @param wrapper a program that runs the one after it; empty for none
     * @param jvmOptions beside 512 MB of heap; the later ones win
     */
    static Process start(
            Path directory, Path output, List<String> wrapper, List<String> arguments, String... jvmOptions)
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
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Uplift.class.getName()));
        command.addAll(arguments);
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().put("XDG_STATE_HOME", directory.toString());
        return builder.start();
    }
}
