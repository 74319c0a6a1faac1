package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code ./uplift} in a repository whose Maven and JDK are stand-ins that say when they are called. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class UpliftScriptTest {
    @TempDir
    private Path home = Path.of(".");

    @BeforeEach
    void checkOut() throws IOException {
        Files.copy(Path.of("..", "uplift"), home.resolve("uplift"));
        Files.writeString(home.resolve("pom.xml"), "<flink.add-opens>--add-opens=x</flink.add-opens>");
        for (String module : List.of("schemas", "model", "flink-job", "tools")) {
            Files.createDirectories(home.resolve(module).resolve("src/main"));
            Files.createFile(home.resolve(module).resolve("pom.xml"));
        }
        script("jdk/bin/javac", "echo javac 17.0.1");
        script("jdk/bin/java", "echo java \"$@\"");
        // Builds when the test says so.
        script(
                "bin/mvn",
                "echo built >>builds",
                "while [ ! -e go ]; do sleep 0.05; done",
                "mkdir -p tools/target; echo some.jar >tools/target/classpath.txt");
    }

    private void script(String name, String... lines) throws IOException {
        Path file = home.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, "#!/bin/sh\n" + String.join("\n", lines) + "\n");
        assertThat(file.toFile().setExecutable(true)).isTrue();
    }

    /** Starts the script; what it prints goes to a file. */
    private Process uplift(String output) throws IOException {
        ProcessBuilder builder = new ProcessBuilder("bash", "uplift", "demo")
                .directory(home.toFile())
                .redirectErrorStream(true)
                .redirectOutput(home.resolve(output).toFile());
        builder.environment().put("JAVA_HOME", home.resolve("jdk").toString());
        builder.environment().merge("PATH", home.resolve("bin").toString(), (path, bin) -> bin + ":" + path);
        return builder.start();
    }

    private void awaitLine(String output, String part) throws IOException {
        while (!printed(output).contains(part)) {
            Thread.onSpinWait();
        }
    }

    private String printed(String output) throws IOException {
        return Files.readString(home.resolve(output));
    }

    @Test
    void twoAtOnceBuildOnce() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/flock")), "needs flock");
        Process first = uplift("first");
        awaitLine("first", "Building uplift-stream");
        Process second = uplift("second");
        awaitLine("second", "waiting for it");
        Files.createFile(home.resolve("go"));
        for (Process each : List.of(first, second)) {
            assertThat(each.waitFor()).isZero();
        }
        assertThat(home.resolve("builds")).hasContent("built");
        assertThat(printed("first"))
                .contains("io.upliftstream.tools.cli.Uplift demo")
                .contains("-Duplift.columns=0 ");
        assertThat(printed("second")).contains("io.upliftstream.tools.cli.Uplift demo");
    }

    @Test
    void buildsAgainWhenSourcesAreNewerAndOnlyOnce() throws Exception {
        Files.createFile(home.resolve("go"));
        // As Maven does: a class path that is the same is not written again.
        script(
                "bin/mvn",
                "echo built >>builds",
                "mkdir -p tools/target && cd tools/target",
                "[ -e classpath.txt ] || echo some.jar >classpath.txt");
        assertThat(uplift("first").waitFor()).isZero();
        Files.setLastModifiedTime(home.resolve("tools/target/classpath.txt"), FileTime.fromMillis(0));
        assertThat(uplift("second").waitFor()).isZero();
        assertThat(uplift("third").waitFor()).isZero();
        assertThat(home.resolve("builds")).hasContent("built\nbuilt");
    }
}
