package io.upliftstream.tools.cli;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Refuses values of a command's options that cannot work. */
@Command // without it, picocli takes no class without options for a mixin
final class Checks {
    @Spec(Spec.Target.MIXEE)
    @SuppressWarnings("NullAway.Init")
    private CommandSpec command;

    /** @throws ParameterException unless it holds: what the option was, and what it should have been */
    void require(boolean holds, String option, @Nullable Object found, String expected) {
        if (!holds) {
            throw new ParameterException(
                    command.commandLine(), "%s: %s (expected: %s)".formatted(option, found, expected));
        }
    }
}
