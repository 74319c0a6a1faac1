package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InterruptedIOException;
import org.junit.jupiter.api.Test;

class CommandTest {
    @Test
    void aFailureHasTheFirstLineOfWhatWasSaid() throws Exception {
        assertThat(Command.run("echo", "all is well")).isEqualTo("all is well");
        assertThatThrownBy(() -> Command.run("sh", "-c", "echo no; echo more; exit 3"))
                .isInstanceOf(IOException.class)
                .isNotInstanceOf(InterruptedIOException.class)
                .hasMessage("no");
    }

    @Test
    void anInterruptionWaitsForTheEndAndIsNoFailureOfTheCommands() throws Exception {
        Thread.currentThread().interrupt();
        assertThat(Command.run("sh", "-c", "sleep 0.1; echo done")).isEqualTo("done");
        assertThatThrownBy(() -> Command.run("false")).isInstanceOf(InterruptedIOException.class);
        assertThat(Thread.interrupted()).isTrue();

        // As after Ctrl-C in a terminal, which ends a command before this process has heard of it. The signal itself
        // is no use here: all that a shell has started in the background ignores it.
        assertThatThrownBy(() -> Command.run("sh", "-c", "exit 130")).isInstanceOf(InterruptedIOException.class);
    }
}
