package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.FrameException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What a failure or drop record may give as its reason, docs/troubleshooting.md explains. */
class ReasonsReferenceTest {
    @Test
    void everyReasonHasItsRow() throws IOException {
        String page = Files.readString(Path.of("..", "docs", "troubleshooting.md"));
        Stream<? extends Enum<?>> reasons = Stream.of(
                        FrameProblem.Reason.values(), FrameException.Reason.values(), DropRuns.Reason.values())
                .flatMap(Arrays::stream);
        assertThat(reasons.map(reason -> "| `" + reason.name() + "` |").toList())
                .allSatisfy(row -> assertThat(page).contains(row));
    }
}
