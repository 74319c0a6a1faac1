package io.upliftstream.tools.cli;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whether the embedded Flink shows a page of its own. */
final class FlinkPageOption {
    @Option(
            names = "--flink-page",
            arity = "0..1",
            fallbackValue = "0",
            paramLabel = "PORT",
            description = "Flink's own page, on this port or any free one, for browsers on this machine; it submits and"
                    + " cancels nothing. Default: none.")
    private @Nullable Integer port;

    /** The page's port, 0 for any free one; null for no page. */
    @Nullable
    Integer port(Checks checks) {
        checks.require(port == null || (port >= 0 && port <= 65535), "--flink-page", port, "0 to 65535");
        return port;
    }
}
