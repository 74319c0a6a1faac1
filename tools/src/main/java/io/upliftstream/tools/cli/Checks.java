package io.upliftstream.tools.cli;

import io.upliftstream.job.StartupException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Refuses values of a command's options that cannot work, before anything is started for them. */
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

    /**
     * Makes a directory, unless it is there.
     *
     * @throws StartupException unless it can be made and files can be written to it
     */
    void writable(String option, Path directory) {
        Path there = directory.toAbsolutePath().normalize();
        while (!Files.exists(there, LinkOption.NOFOLLOW_LINKS)) {
            there = Objects.requireNonNull(there.getParent());
        }
        String found = !Files.isDirectory(there)
                ? "is not a directory"
                : !Files.isWritable(there) || !made(directory) ? "cannot be written to" : "";
        if (!found.isEmpty()) {
            throw new StartupException(
                    StartupException.ENVIRONMENT,
                    "%s: %s %s (expected: a directory that can be written to, or a name for a new one)"
                            .formatted(option, there, found));
        }
    }

    /** Whether a directory is there now: in some, such as /proc, even root can make none. */
    private static boolean made(Path directory) {
        try {
            Files.createDirectories(directory);
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
