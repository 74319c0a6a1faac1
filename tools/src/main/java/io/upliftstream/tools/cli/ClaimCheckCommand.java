package io.upliftstream.tools.cli;

import picocli.CommandLine.Command;

/** {@code uplift claim-check}. */
@Command(
        name = "claim-check",
        description = "Looks after the directory of large payloads, which records refer to.",
        footer = {
            "",
            "Examples:",
            "  uplift claim-check sweep --config job.yaml                         what no record refers to",
            "  uplift claim-check sweep --config job.yaml --older-than 7d --delete",
        },
        subcommands = {ClaimCheckSweepCommand.class})
final class ClaimCheckCommand {}
