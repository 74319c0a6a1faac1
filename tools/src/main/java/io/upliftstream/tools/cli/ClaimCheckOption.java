package io.upliftstream.tools.cli;

import io.upliftstream.job.OutputOptions;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where the payloads are that records refer to: the option of commands that read them. */
final class ClaimCheckOption {
    @Option(
            names = "--claim-check",
            paramLabel = "DIR",
            description =
                    "Where payloads are that records refer to; no other place is looked at, whatever a record says."
                            + " Default: uplift.output.claim-check.directory.")
    private @Nullable String directory;

    /** The setting that the option stands for. */
    List<String> assignments() {
        return Stream.ofNullable(directory)
                .map(named -> OutputOptions.CLAIM_CHECK_DIRECTORY.key() + "=" + named)
                .toList();
    }
}
