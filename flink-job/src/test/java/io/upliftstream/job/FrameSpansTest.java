package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.common.v1.AnyValue;
import io.opentelemetry.proto.trace.v1.Span;
import io.opentelemetry.proto.trace.v1.Status;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The operator and a collector of spans. */
@Timeout(60)
class FrameSpansTest {
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final String PARENT = "b7ad6b7169203331";

    private final Queue<Span> spans = new ConcurrentLinkedQueue<>();
    private final TestingEngine engine = new TestingEngine();
    private HttpServer collector;

    @BeforeEach
    void listen() throws IOException {
        collector = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        collector.createContext("/v1/traces", exchange -> {
            ExportTraceServiceRequest request = ExportTraceServiceRequest.parseFrom(exchange.getRequestBody());
            request.getResourceSpansList().forEach(resource -> resource.getScopeSpansList()
                    .forEach(scope -> spans.addAll(scope.getSpansList())));
            exchange.getResponseHeaders().set("Content-Type", "application/x-protobuf");
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        collector.start();
        engine.answerAll();
    }

    @AfterEach
    void stop() {
        collector.stop(0);
    }

    /** What the operator makes of frames; closed, so that all spans have arrived. */
    private List<OutputMessage> run(RawFrame... frames) throws Exception {
        String endpoint =
                "http://localhost:%d/v1/traces".formatted(collector.getAddress().getPort());
        JobSettings settings = TestFrames.settings("uplift.tracing.endpoint", endpoint);
        OneInputStreamOperatorTestHarness<RawFrame, OutputMessage> harness =
                new OneInputStreamOperatorTestHarness<>(new DenseInferenceOperator.Factory(
                        settings,
                        again -> Map.of(),
                        Framing.SINGLE_OBJECT,
                        (unused, subtask) -> engine,
                        Clock.systemUTC(),
                        null));
        harness.open();
        for (RawFrame frame : frames) {
            harness.processElement(new StreamRecord<>(frame));
        }
        harness.close(); // finishes and emits what is in flight
        return harness.extractOutputValues();
    }

    private static RawFrame traced(RawFrame frame, String traceparent) {
        return new RawFrame(
                frame.topic(),
                frame.partition(),
                frame.offset(),
                frame.timestampMillis(),
                frame.key(),
                frame.value(),
                new TraceContext(traceparent, "vendor=1"));
    }

    private Span span(String name) {
        return spans.stream()
                .filter(span -> span.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no span " + name + " in " + spans));
    }

    private static String hex(com.google.protobuf.ByteString id) {
        return HexFormat.of().formatHex(id.toByteArray());
    }

    private static AnyValue attribute(Span span, String key) {
        return span.getAttributesList().stream()
                .filter(attribute -> attribute.getKey().equals(key))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no attribute " + key + " in " + span))
                .getValue();
    }

    @Test
    void aFramesSpanHasTheHeadersParentAndASpanForEachStage() throws Exception {
        String traceparent = "00-" + TRACE + "-" + PARENT + "-01";
        List<OutputMessage> messages = run(traced(TestFrames.cameraFrame("north", 7), traceparent));

        Span frame = span("process camera-frames");
        assertThat(hex(frame.getTraceId())).isEqualTo(TRACE);
        assertThat(hex(frame.getParentSpanId())).isEqualTo(PARENT);
        assertThat(frame.getTraceState()).isEqualTo("vendor=1");
        assertThat(frame.getKind()).isEqualTo(Span.SpanKind.SPAN_KIND_CONSUMER);
        assertThat(attribute(frame, "uplift.camera").getStringValue()).isEqualTo("north");
        assertThat(attribute(frame, "uplift.sequence").getIntValue()).isEqualTo(7);
        assertThat(attribute(frame, "messaging.kafka.offset").getIntValue()).isEqualTo(1007);

        long at = frame.getStartTimeUnixNano();
        for (Map.Entry<String, Long> stage : List.of(
                Map.entry("queue", 2_000_000L),
                Map.entry("decode", 1_000_000L),
                Map.entry("backbone", 3_000_000L),
                Map.entry("upsample", 4_000_000L))) {
            Span span = span(stage.getKey());
            assertThat(hex(span.getTraceId())).isEqualTo(TRACE);
            assertThat(span.getParentSpanId()).isEqualTo(frame.getSpanId());
            assertThat(span.getStartTimeUnixNano()).as(stage.getKey()).isEqualTo(at);
            at += stage.getValue();
            assertThat(span.getEndTimeUnixNano()).as(stage.getKey()).isEqualTo(at);
        }
        assertThat(span("encode").getStartTimeUnixNano()).isEqualTo(at);
        assertThat(span("encode").getEndTimeUnixNano()).isBetween(at, frame.getEndTimeUnixNano());
        assertThat(spans).hasSize(6);
        assertThat(messages)
                .hasSize(3)
                .allSatisfy(message -> assertThat(message.trace().traceparent()).isEqualTo(traceparent));
    }

    @Test
    void aFailureIsAnErrorUnderItsReason() throws Exception {
        RawFrame noise = TestFrames.raw(5, "north", "noise".getBytes(StandardCharsets.UTF_8));
        run(traced(noise, "00-" + TRACE + "-" + PARENT + "-01"));

        Span frame = span("process camera-frames");
        assertThat(hex(frame.getParentSpanId())).isEqualTo(PARENT);
        assertThat(frame.getStatus().getCode()).isEqualTo(Status.StatusCode.STATUS_CODE_ERROR);
        assertThat(attribute(frame, "error.type").getStringValue()).isEqualTo("NOT_A_FRAME");
    }

    @Test
    void framesThatAreNotSampledHaveNoneAndFramesWithoutATraceBeginOne() throws Exception {
        run(
                traced(TestFrames.cameraFrame("north", 1), "00-" + TRACE + "-" + PARENT + "-00"),
                TestFrames.cameraFrame("north", 2));

        Span frame = span("process camera-frames");
        assertThat(attribute(frame, "uplift.sequence").getIntValue()).isEqualTo(2);
        assertThat(frame.getParentSpanId()).isEmpty();
        assertThat(spans).hasSize(6);
    }
}
