package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** What the command line has, the documents name. */
class CommandDocsTest {
    @Test
    void everyCommandIsInTheReadmeOrTheDocs() throws IOException {
        StringBuilder docs = new StringBuilder(Files.readString(Path.of("..", "README.md")));
        try (Stream<Path> files = Files.list(Path.of("..", "docs"))) {
            for (Path file :
                    files.filter(path -> path.toString().endsWith(".md")).toList()) {
                docs.append(Files.readString(file));
            }
        }
        assertThat(new CommandLine(new Uplift()).getSubcommands().keySet())
                .filteredOn(name -> docs.indexOf("uplift " + name) < 0)
                .isEmpty();
    }

    /** The launcher prints this file where nothing has been built; {@code -Dupdate-docs} writes it anew. */
    @Test
    void theUsageOfTheLauncherIsThatOfTheCommandLine() throws IOException {
        Path file = Path.of("..", "docs", "uplift.txt");
        String usage = new CommandLine(new Uplift()).getUsageMessage(CommandLine.Help.Ansi.OFF);
        if (System.getProperty("update-docs") != null) {
            Files.writeString(file, usage);
        }
        assertThat(Files.readString(file)).isEqualTo(usage);
    }

    /** What is broken into lines by hand must not be broken again. */
    @Test
    void helpsShowTheirLastLinesAsTheyAreWritten() {
        Deque<CommandLine> commands = new ArrayDeque<>(List.of(new CommandLine(new Uplift())));
        while (!commands.isEmpty()) {
            CommandLine command = commands.remove();
            commands.addAll(command.getSubcommands().values());
            assertThat(command.getUsageMessage(CommandLine.Help.Ansi.OFF).lines())
                    .contains(command.getCommandSpec().usageMessage().footer());
        }
    }

    @Test
    void everyOptionOfTheLivePageIsInItsGuide() throws IOException {
        List<String> options = new CommandLine(new ViewCommand())
                .getCommandSpec().options().stream()
                        .map(CommandLine.Model.OptionSpec::longestName)
                        .toList();
        assertThat(options).contains("--port");
        assertThat(Files.readString(Path.of("..", "docs", "view.md"))).contains(options);
    }
}
