package io.upliftstream.tools.cli;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where a report goes for programs. */
final class JsonOption {
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    @Option(names = "--json", paramLabel = "FILE", description = "Writes the figures as JSON, too.")
    private @Nullable Path file;

    void write(Object report) throws IOException {
        if (file != null) {
            JSON.writeValue(file.toFile(), report);
        }
    }
}
