package io.upliftstream.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.HeadKind;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.WireFormat;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.flink.runtime.operators.testutils.MockEnvironmentBuilder;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.apache.flink.util.InstantiationUtil;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The job beside a schema registry that is well, and one that is not. */
class RegistryTest extends OperatorTest {
    private StubRegistry registry;

    @BeforeEach
    void start() throws IOException {
        registry = new StubRegistry();
    }

    @AfterEach
    void stop() {
        registry.close();
    }

    private JobSettings settings(String... more) {
        List<String> all = new ArrayList<>(List.of(
                "uplift.schema-registry.url", registry.url() + "/", "uplift.schema-registry.timeout", "300 ms"));
        all.addAll(List.of(more));
        return TestFrames.settings(all.toArray(String[]::new));
    }

    private static Framing framing(JobSettings settings) {
        return Framing.of(settings, settings.outputRecords(List.of(HeadKind.SEGMENTATION)));
    }

    private static RawFrame framed(int id, long sequence) {
        return TestFrames.raw(1000 + sequence, "north", value(id, sequence));
    }

    private static byte[] value(int id, long sequence) {
        return WireFormat.encode(TestFrames.record("north", sequence), id);
    }

    private OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> open(JobSettings settings) throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                harness(settings, KafkaPackets::new, new MockEnvironmentBuilder());
        harness.open();
        engine.answerAll();
        return harness;
    }

    private static FrameFailure failure(OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness)
            throws Exception {
        runMails(harness);
        List<FrameFailure> failures = decode(harness, "failures", FrameFailure.class);
        return failures.get(failures.size() - 1);
    }

    @Test
    void recordsCarryTheIdOfTheirSchemaAndAskNobodyForIt() throws Exception {
        Framing framing = InstantiationUtil.clone(framing(settings()));
        assertThat(registry.asked)
                .containsExactlyInAnyOrder(
                        "POST /subjects/segmentation-value/versions null",
                        "POST /subjects/failures-value/versions null",
                        "POST /subjects/dropped-value/versions null");
        registry.close();

        RecordEncoder encoder = new RecordEncoder(
                settings(), Map.of(), framing, TestingEngine.MODEL, List.of("road", "car", "sky"), null);
        byte[] value = encoder.failure(TestFrames.raw(1, "north", null), null, FrameProblem.quarantined())
                .messages()
                .get(0)
                .value();

        assertThat(Arrays.copyOf(value, 5)).containsExactly(0, 0, 0, 0, StubRegistry.ID);
        assertThat(new RecordDecoder().decode(value, FrameFailure.class).getReason())
                .isEqualTo("QUARANTINED");
    }

    @Test
    void subjectsAreByTopicOrByRecordAndMayBeOnlyLookedUp() {
        framing(settings("uplift.schema-registry.subjects", "record", "uplift.schema-registry.register", "false"));

        assertThat(registry.asked)
                .containsExactlyInAnyOrder(
                        "POST /subjects/io.upliftstream.schemas.SegmentationRecord null",
                        "POST /subjects/io.upliftstream.schemas.FrameFailure null",
                        "POST /subjects/io.upliftstream.schemas.FrameDropped null");
    }

    @Test
    void logsInByPasswordOrToken() {
        framing(settings("uplift.schema-registry.user", "ada", "uplift.schema-registry.password", "hush"));
        JobSettings token = settings("uplift.schema-registry.token", "hush");
        framing(token);

        assertThat(registry.asked).anyMatch(asked -> asked.endsWith("Basic YWRhOmh1c2g="));
        assertThat(registry.asked).anyMatch(asked -> asked.endsWith("Bearer hush"));
        assertThat(token.toString())
                .contains("uplift.schema-registry.token=******")
                .doesNotContain("hush");
    }

    @Test
    void whatIsNoTokenIsRefusedWithoutBeingShown() {
        assertThatThrownBy(() -> framing(settings("uplift.schema-registry.token", "hu\nsh")))
                .isInstanceOf(StartupException.class)
                .hasMessage(
                        "uplift.schema-registry.token: with other characters (expected: letters, digits and signs of ASCII)");
    }

    @ParameterizedTest
    @CsvSource({"401, may do this", "404, registered there", "409, compatibility", "500, is well"})
    void aRegistryThatDoesNotTakeASchemaEndsTheStartWithASentence(int status, String expected) {
        registry.status = status;

        assertThatThrownBy(() -> framing(settings()))
                .isInstanceOfSatisfying(
                        StartupException.class, e -> assertThat(e.exitCode()).isEqualTo(StartupException.ENVIRONMENT))
                .message()
                .hasLineCount(1)
                .startsWith("schema SegmentationRecord of subject segmentation-value: %d from %s, told to (expected: "
                        .formatted(status, registry.url()))
                .contains(expected);
    }

    @Test
    void aSchemaThatNobodyRegisteredEndsTheStartWithAdvice() {
        registry.status = 404;

        assertThatThrownBy(() -> framing(settings("uplift.schema-registry.register", "false")))
                .isInstanceOf(StartupException.class)
                .hasMessageEndingWith("; uplift.schema-registry.register=true registers it");
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aRegistryThatIsAwayOrSilentEndsTheStartWithASentence(boolean silent) {
        registry.hangs = silent;
        if (!silent) {
            registry.close();
        }

        assertThatThrownBy(() -> framing(settings()))
                .isInstanceOf(StartupException.class)
                .hasMessage("schema SegmentationRecord of subject segmentation-value: "
                        + (silent
                                ? "no answer from %s within 300 ms".formatted(registry.url())
                                : "no connection to " + registry.url())
                        + " (expected: a schema registry there)");
    }

    @Test
    void framesInTheWireFormatAreReadAndTheirSchemaIsAskedForOnce() throws Exception {
        String published = registry.schema.toString();
        registry.schema = new Schema.Parser()
                .parse(published.substring(0, published.length() - 2)
                        + ", {\"name\": \"lens\", \"type\": [\"null\", \"string\"], \"default\": null}]}");
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        for (int sequence = 0; sequence < 3; sequence++) {
            byte[] value = value(StubRegistry.ID, sequence);
            byte[] withoutLens = Arrays.copyOf(value, value.length + 1); // index 0 of the union
            process(harness, TestFrames.raw(1000 + sequence, "north", withoutLens));
        }
        process(harness, TestFrames.cameraFrame("north", 3));
        runMails(harness);

        assertThat(results(harness)).containsExactly("north 0", "north 1", "north 2", "north 3");
        assertThat(registry.asked).containsExactly("GET /schemas/ids/7 null");
    }

    @Test
    void anIdThatTheRegistryDoesNotKnowIsAFailureAndTheStreamGoesOn() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        process(harness, framed(8, 0));

        assertThat(failure(harness).getReason()).isEqualTo("NO_SCHEMA");
        assertThat(failure(harness).getMessage())
                .isEqualTo("schema id 8: 404 from %s, told to (expected: one that is registered there)"
                        .formatted(registry.url()));
        process(harness, framed(8, 1));
        process(harness, framed(StubRegistry.ID, 2));
        runMails(harness);
        assertThat(results(harness)).containsExactly("north 2");
        assertThat(registry.asked)
                .hasSize(4)
                .startsWith(Collections.nCopies(3, "GET /schemas/ids/8 null").toArray(String[]::new));
    }

    /** Of a subject that the job may not read, beside those that it may: its own, or one that it has met. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void anIdThatIsForbiddenIsAFailureAndTheStreamGoesOn(boolean first) throws Exception {
        if (first) {
            recordFraming = Framing.of(settings(), settings().outputRecords(List.of(HeadKind.values())));
        }
        registry.statusOfOthers = 403;
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        if (!first) {
            process(harness, framed(StubRegistry.ID, 0));
        }
        process(harness, framed(8, 1));
        assertThat(failure(harness).getReason()).isEqualTo("NO_SCHEMA");
        assertThat(failure(harness).getMessage()).startsWith("schema id 8: 403 from ");
        process(harness, framed(StubRegistry.ID, 2));
        runMails(harness);
        assertThat(results(harness)).endsWith("north 2");
    }

    @Test
    void theSchemaOfSomethingElseIsAFailure() throws Exception {
        registry.schema = SingleObject.schema(FrameDropped.class);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        process(harness, framed(StubRegistry.ID, 0));

        assertThat(failure(harness).getReason()).isEqualTo("MALFORMED_RECORD");
        assertThat(failure(harness).getMessage()).contains("(expected: one that CameraFrame can be read from)");
    }

    @Test
    void otherFirstBytesAreNoFrame() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        byte[] value = value(StubRegistry.ID, 0);
        value[0] = 1;
        process(harness, TestFrames.raw(1, "north", value));

        assertThat(failure(harness).getReason()).isEqualTo("NOT_A_FRAME");
        assertThat(registry.asked).isEmpty();
    }

    /** Annex B begins as the wire format does. */
    @Test
    void whatIsReadWithoutASchemaWaitsForNoRegistry() throws Exception {
        registry.status = 500;
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open(settings("uplift.frame.max-bytes", "1 mb"));
        List<byte[]> packets = Clip.packets("intra.h264");
        for (int i = 0; i < packets.size(); i++) {
            process(harness, packet(i, packets.get(i), new VideoHeaders("h264", null, null, null)));
        }
        process(harness, packet(1, new byte[(1 << 20) + 1], null));
        assertThat(failure(harness).getReason()).isEqualTo("VALUE_TOO_LARGE");
        finish(harness);
        assertThat(results(harness)).hasSameSizeAs(packets);

        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> video =
                open(settings("uplift.input.format", "video"));
        process(video, packet(0, packets.get(0), null));
        finish(video);
        assertThat(results(video)).containsExactly("north 0");

        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> images =
                open(settings("uplift.input.format", "image"));
        process(images, framed(StubRegistry.ID, 0));
        assertThat(failure(images).getReason()).isEqualTo("NOT_A_FRAME");
        assertThat(registry.asked).isEmpty();
    }

    private static RawFrame packet(long offset, byte[] data, @Nullable VideoHeaders headers) {
        return new RawFrame(
                "camera-frames",
                3,
                offset,
                TestFrames.RECORDED,
                "north".getBytes(UTF_8),
                data,
                TraceContext.NONE,
                headers);
    }

    @Test
    void withoutARegistryTheWireFormatIsNoFrame() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(TestFrames.settings());
        process(harness, framed(StubRegistry.ID, 0));

        assertThat(failure(harness).getReason()).isEqualTo("NOT_A_FRAME");
        assertThat(failure(harness).getMessage())
                .contains("Confluent's framing, of schema 7", "or name the schema registry");
    }

    @ParameterizedTest
    @ValueSource(ints = {401, 403, 404, 500})
    void inLosslessModeFramesWaitForARegistryThatIsUnwellOrLateAndNoneIsLost(int status) throws Exception {
        registry.status = status;
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        Thread doctor = new Thread(() -> {
            while (registry.asked.isEmpty()) {
                Thread.onSpinWait();
            }
            registry.status = 200;
        });
        doctor.start();

        process(harness, framed(StubRegistry.ID, 0));
        runMails(harness);

        doctor.join();
        assertThat(results(harness)).containsExactly("north 0");
        assertThat(decode(harness, "failures", FrameFailure.class)).isEmpty();
    }

    @Test
    void framesWaitForARegistryThatHangs() throws Exception {
        registry.hangs = true;
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness = open(settings());
        Thread doctor = new Thread(() -> {
            while (registry.asked.isEmpty()) {
                Thread.onSpinWait();
            }
            registry.hangs = false;
        });
        doctor.start();

        process(harness, framed(StubRegistry.ID, 0));
        runMails(harness);

        doctor.join();
        assertThat(results(harness)).containsExactly("north 0");
    }

    @Test
    void whereFramesDoNotWaitEachIsAFailureAtOnceAndWhatIsKnownGoesOn() throws Exception {
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                open(settings("uplift.schema-registry.when-away", "fail"));
        process(harness, framed(StubRegistry.ID, 0));
        registry.hangs = true;
        long start = System.nanoTime();
        for (int id = 100; id < 200; id++) {
            process(harness, framed(id, id));
        }
        long waited = System.nanoTime() - start;
        process(harness, framed(StubRegistry.ID, 1));
        runMails(harness);

        assertThat(decode(harness, "failures", FrameFailure.class)).hasSize(100).allMatch(failure -> failure.getReason()
                .equals("NO_SCHEMA"));
        assertThat(results(harness)).containsExactly("north 0", "north 1");
        assertThat(registry.asked).hasSize(2);
        assertThat(waited).isLessThan(TimeUnit.SECONDS.toNanos(10));
        registry.hangs = false;
    }

    @Test
    void aFramingIsMadeForItsTopics() {
        Framing framing = Framing.of(settings(), Map.of("segmentation", Set.of(SegmentationRecord.class)));

        assertThatThrownBy(() -> framing.encode("camera-frames", TestFrames.record("north", 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(CameraFrame.class.getName());
    }
}
