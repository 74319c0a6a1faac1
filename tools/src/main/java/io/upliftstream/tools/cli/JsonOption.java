package io.upliftstream.tools.cli;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where a report goes for programs. */
final class JsonOption {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    @Option(names = "--json", paramLabel = "FILE", description = "Writes the figures as JSON, too.")
    private @Nullable Path file;

    /** @throws StartupException unless the file can be written */
    void check(Checks checks) {
        if (file != null) {
            checks.require(!Files.isDirectory(file), "--json", file, "a file");
            checks.writable(
                    "--json", Objects.requireNonNull(file.toAbsolutePath().getParent()));
        }
    }

    void write(Object report) throws IOException {
        if (file != null) {
            byte[] json = JSON.writeValueAsBytes(report);
            try {
                Files.write(file, json);
            } catch (FileSystemException e) {
                throw e; // which names its file
            } catch (IOException e) { // such as a disk that is full
                throw new IOException(file.toAbsolutePath() + ": " + e.getMessage(), e);
            }
        }
    }
}
