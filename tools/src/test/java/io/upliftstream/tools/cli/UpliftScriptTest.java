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

/** {@code ./uplift} in a repository whose Maven and Java are stand-ins that say when they are called. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class UpliftScriptTest {
    @TempDir
    private Path home = Path.of(".");

    @BeforeEach
    void checkOut() throws IOException {
        Files.copy(Path.of("..", "uplift"), home.resolve("uplift"));
        Files.writeString(
                home.resolve("pom.xml"),
                """
                  <artifactId>uplift-stream</artifactId>
                  <version>1.2.3</version>
                """);
        Files.createDirectories(home.resolve("docs"));
        Files.writeString(home.resolve("docs/uplift.txt"), "Usage: uplift\n");
        for (String module : List.of("schemas", "model", "flink-job", "tools")) {
            Files.createDirectories(home.resolve(module).resolve("src/main"));
            Files.createFile(home.resolve(module).resolve("pom.xml"));
        }
        script("jdk/bin/javac", "echo javac 17.0.1");
        java(17);
        // Builds when the test says so.
        script(
                "bin/mvn",
                "echo built >>builds",
                "echo '[INFO] Building uplift-stream: model 1.2.3                  [3/5]'",
                "while [ ! -e go ]; do sleep 0.05; done",
                "mkdir -p tools/target; echo some.jar >tools/target/classpath.txt");
    }

    private void script(String name, String... lines) throws IOException {
        Path file = home.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, "#!/bin/sh\n" + String.join("\n", lines) + "\n");
        assertThat(file.toFile().setExecutable(true)).isTrue();
    }

    private void java(int version) throws IOException {
        script(
                "jdk/bin/java",
                "[ $1 != -version ] || { echo 'openjdk version \"%d.0.1\" 2026-01-01' >&2; exit; }".formatted(version),
                "echo java \"$@\"");
    }

    /** Starts the script; what it prints goes to a file. */
    private Process uplift(String output) throws IOException {
        return start(output, "bash", "uplift", "demo");
    }

    private Process start(String output, String... command) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command)
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
                .contains("  model [3/5]\n")
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

    @Test
    void tcmallocIsTakenWhereItIsInstalledAndNothingElseIsAskedFor() throws Exception {
        Files.createFile(home.resolve("go"));
        script("bin/ldconfig", "echo '\tlibtcmalloc_minimal.so.4 (libc6) => /lib/libtcmalloc_minimal.so.4'");
        script(
                "jdk/bin/java",
                "[ $1 != -version ] || { echo 'openjdk version \"17\"' >&2; exit; }",
                "echo =$LD_PRELOAD=");
        assertThat(uplift("installed").waitFor()).isZero();
        assertThat(printed("installed")).contains("=libtcmalloc_minimal.so.4=");
        assertThat(start("own", "env", "LD_PRELOAD=", "bash", "uplift", "demo").waitFor())
                .isZero();
        assertThat(printed("own")).isEqualTo("==\n");
        script("bin/ldconfig", "echo '\tlibc.so.6 (libc6) => /lib/libc.so.6'");
        assertThat(uplift("without").waitFor()).isZero();
        assertThat(printed("without")).isEqualTo("==\n");
    }

    @Test
    void usageAndVersionNeedNoBuildAndNoJava() throws Exception {
        Files.delete(home.resolve("jdk/bin/javac"));
        assertThat(start("help", "bash", "uplift", "--help").waitFor()).isZero();
        assertThat(start("version", "bash", "uplift", "--version").waitFor()).isZero();
        assertThat(printed("help")).isEqualTo("Usage: uplift\n");
        assertThat(printed("version")).isEqualTo("uplift-stream 1.2.3\n");
        assertThat(home.resolve("builds")).doesNotExist();
    }

    @Test
    void aBuildThatIsStoppedDidNotFail() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/setsid")), "needs setsid");
        // As Maven does: it ends by itself, with an exit code.
        script(
                "bin/mvn",
                "trap 'exit 130' INT",
                "echo '[INFO] Building uplift-stream: model 1.2.3                  [3/5]'",
                "while :; do sleep 0.05; done");
        Process process = start("stopped", "setsid", "env", "--default-signal=INT", "bash", "uplift", "demo");
        awaitLine("stopped", "model [3/5]");
        // Ctrl-C goes to every process of the group, and tests in the background are told to ignore it.
        new ProcessBuilder("kill", "-INT", "--", "-" + process.pid()).start().waitFor();
        assertThat(process.waitFor()).isEqualTo(130);
        assertThat(printed("stopped"))
                .contains("stopped before the build was done")
                .doesNotContain("failed");
    }

    @Test
    void aReleaseNeedsJavaAloneAndIsFoundThroughALink() throws Exception {
        Path release = Files.createDirectories(home.resolve("a release"));
        for (String directory : List.of("bin", "lib")) {
            Files.createDirectories(release.resolve(directory));
        }
        Files.copy(Path.of("..", "uplift"), release.resolve("bin/uplift"));
        Files.createFile(release.resolve("lib/uplift-stream-tools-1.2.3.jar"));
        Files.createSymbolicLink(home.resolve("linked"), release.resolve("bin/uplift"));
        Files.delete(home.resolve("jdk/bin/javac"));
        Files.delete(home.resolve("bin/mvn"));
        assertThat(start("ran", "bash", "linked", "demo").waitFor()).isZero();
        assertThat(printed("ran"))
                .contains("-Duplift.home=" + release)
                .contains(release + "/lib/uplift-stream-tools-1.2.3.jar:" + release + "/lib/*:")
                .doesNotContain("sun-misc-unsafe");

        java(25);
        assertThat(start("later", "bash", "linked", "demo").waitFor()).isZero();
        assertThat(printed("later")).contains(" --sun-misc-unsafe-memory-access=allow ");
    }
}
