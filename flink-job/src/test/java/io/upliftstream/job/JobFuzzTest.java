package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever a record's value or an option says, the answer is a frame, settings, or one sentence. Runs the seeds as a test;
 * docs/reliability.md says how to fuzz.
 */
class JobFuzzTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    static Path directory;

    static Stream<byte[]> values() {
        return Stream.of(
                SingleObject.encode(TestFrames.record("north", 7)),
                TestFrames.jpeg((byte) 1, (byte) 2),
                new byte[0],
                // Values of other kinds, which are described.
                HexFormat.of().parseHex("0000000167640028acd90000000165b8"),
                HexFormat.of().parseHex("000000002a0a6e6f727468"),
                "{\"image\": \"/9j/4AAQ\"}".getBytes(StandardCharsets.UTF_8),
                // A finding: a union branch that there is not.
                HexFormat.of().parseHex("c3013f1d316c82ae7fd10a6e6f7274680ef0b1f122000000060008ffd8ff07000000"));
    }

    @MethodSource("values")
    @FuzzTest
    void value(byte[] bytes) {
        try {
            Frame frame = new FrameParser(InputFormat.AUTO, 1L << 20).parse(TestFrames.raw(1, "camera", bytes));
            assertThat(frame.cameraId()).isNotBlank().hasSizeLessThanOrEqualTo(BoundedText.MAX_ID);
            assertThat(frame.trace().length()).isLessThanOrEqualTo(55 + TraceContext.MAX_TRACESTATE);
        } catch (FrameProblem problem) {
            assertThat(problem).hasMessageContaining("expected");
        }
    }

    static Stream<byte[]> names() {
        return Stream.of(
                        "north",
                        "é".repeat(300),
                        "x" + "\uD83D\uDE00".repeat(300),
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                        "vendor=1,".repeat(100))
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("names")
    @FuzzTest
    void names(byte[] bytes) {
        byte[] key = Objects.requireNonNull(BoundedText.key(bytes));
        assertThat(key).hasSizeLessThanOrEqualTo(3 * BoundedText.MAX_ID);
        assertThat(BoundedText.key(key)).as("cut once").isEqualTo(key);
        String text = new String(bytes, StandardCharsets.UTF_8);
        assertThat(BoundedText.id(BoundedText.id(text))).isEqualTo(BoundedText.id(text));
        assertThat(BoundedText.oneLine(text).lines().count()).isLessThanOrEqualTo(1);
        TraceContext trace = new TraceContext(text, text);
        TraceContext state = new TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", text);
        assertThat(Math.max(trace.length(), state.length())).isLessThanOrEqualTo(55 + TraceContext.MAX_TRACESTATE);
        assertThat(new TraceContext(state.traceparent(), state.tracestate())).isEqualTo(state);
    }

    static Stream<byte[]> assignments() {
        return Stream.of(
                        "uplift.mode=live\nuplift.max-age=500 ms\nuplift.parallelism=2",
                        "uplift.frame.max-bytes=4 mb\nuplift.kafka.properties.security.protocol=SSL",
                        "uplift.mode=dead",
                        "state.backend.type=hashmap")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("assignments")
    @FuzzTest
    void assignment(byte[] lines) {
        List<String> assignments =
                new String(lines, StandardCharsets.UTF_8).lines().toList();
        settings(() -> JobSettings.load(null, Map.of(), assignments));
    }

    static Stream<byte[]> files() {
        return Stream.of(
                        "uplift.mode: live\nuplift.max-age: 500 ms\n",
                        "uplift:\n  model:\n    bundle: /models/street\n",
                        "- a list",
                        "a: [")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("files")
    @FuzzTest
    void file(byte[] yaml) throws IOException {
        Path file = Files.write(directory.resolve("job.yaml"), yaml);
        settings(() -> JobSettings.load(file, Map.of(), List.of()));
    }

    private interface Loading {
        JobSettings load();
    }

    private static void settings(Loading loading) {
        try {
            assertThat(loading.load().get(ServingOptions.MODE)).isNotNull();
        } catch (StartupException e) {
            assertThat(e.exitCode()).isBetween(2, 3);
        }
    }
}
