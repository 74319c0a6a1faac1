package io.upliftstream.tools.chaos;

import java.io.File;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What the processes of a cluster run, and how: the class path and the job's jar of a checkout, as the build has left them.
 *
 * @param home the root of a built checkout
 * @param jvm options of every process
 * @param more classes of the command line that the job's jar is to have, as a glob such as {@code
 *     io/upliftstream/tools/bench/Idle*.class}; null for none
 */
public record Checkout(Path home, List<String> jvm, @Nullable String more) {
    /** Jars that come with the job's, and what belongs to the command line alone. */
    private static final List<String> NOT_IN_LIB = List.of(
            "uplift-stream-",
            "flink-connector-base",
            "flink-connector-kafka",
            "kafka",
            "avro-",
            "jackson-",
            "zstd-jni",
            "scala-",
            "picocli",
            "javacv",
            "xchart",
            "uplot");

    /** Options for processes that live for minutes, on few cores. */
    private static final List<String> SHORT_LIVED = List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC");

    static Checkout shortLived(Path home) {
        return new Checkout(home, SHORT_LIVED, null);
    }

    private Path classes() {
        return home.resolve(Path.of("tools", "target", "classes"))
                .toAbsolutePath()
                .normalize();
    }

    /** The class path of the command line. */
    List<Path> classPath() throws IOException {
        Path list = classes().resolveSibling("classpath.txt");
        return Stream.concat(
                        Stream.of(classes()),
                        Arrays.stream(Files.readString(list).strip().split(File.pathSeparator, -1))
                                .map(Path::of))
                .toList();
    }

    /** The jars that belong into Flink's {@code lib/}. */
    List<Path> lib() throws IOException {
        return classPath().stream()
                .filter(Files::isRegularFile)
                .filter(jar -> NOT_IN_LIB.stream().noneMatch(jar.getFileName().toString()::startsWith))
                .toList();
    }

    /** Puts the job's jar into a directory of uploads, and says what Flink calls it there. */
    String upload(Path uploads) throws IOException {
        Path built;
        try (Stream<Path> files = Files.list(home.resolve(Path.of("flink-job", "target")))) {
            built = files.filter(file -> file.getFileName().toString().endsWith("-job.jar"))
                    .findFirst()
                    .orElseThrow(() -> new IOException(
                            "no job jar in %s/flink-job/target (expected: one, from mvn package)".formatted(home)));
        }
        Path jar = uploads.resolve("0_" + built.getFileName());
        Files.copy(built, jar);
        if (more != null) {
            Path from = classes().resolve(more);
            try (FileSystem inside = FileSystems.newFileSystem(jar);
                    DirectoryStream<Path> files = Files.newDirectoryStream(
                            from.getParent(), from.getFileName().toString())) {
                for (Path file : files) {
                    Path to = inside.getPath(classes().relativize(file).toString());
                    Files.createDirectories(to.getParent());
                    Files.copy(file, to);
                }
            }
        }
        return jar.getFileName().toString();
    }
}
