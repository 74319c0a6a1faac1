package io.upliftstream.job;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.upliftstream.model.StageTimings;
import io.upliftstream.schemas.ModelIdentity;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Frames as OpenTelemetry spans, sent by OTLP over HTTP: one for each frame, whose parent came with it, and below it one for
 * each stage. They are made of the measured times when the frame has ended; a frame without a trace context of its own
 * begins a trace. The only class that knows OpenTelemetry: nothing of it is loaded where no endpoint is set.
 */
final class FrameSpans implements AutoCloseable {
    private static final AttributeKey<String> SERVICE = AttributeKey.stringKey("service.name");
    private static final AttributeKey<String> MODEL = AttributeKey.stringKey("uplift.model");
    private static final AttributeKey<String> VARIANT = AttributeKey.stringKey("uplift.model.variant");
    private static final AttributeKey<String> CAMERA = AttributeKey.stringKey("uplift.camera");
    private static final AttributeKey<Long> SEQUENCE = AttributeKey.longKey("uplift.sequence");
    private static final AttributeKey<Long> BATCH = AttributeKey.longKey("uplift.batch.size");
    // OpenTelemetry's names for what has to do with messages and errors
    private static final AttributeKey<String> SYSTEM = AttributeKey.stringKey("messaging.system");
    private static final AttributeKey<String> TOPIC = AttributeKey.stringKey("messaging.destination.name");
    private static final AttributeKey<String> PARTITION = AttributeKey.stringKey("messaging.destination.partition.id");
    private static final AttributeKey<Long> OFFSET = AttributeKey.longKey("messaging.kafka.offset");
    private static final AttributeKey<String> ERROR = AttributeKey.stringKey("error.type");

    /** How long closing waits until the last spans are taken. */
    private static final long PATIENCE_SECONDS = 5;

    private static final TextMapGetter<TraceContext> HEADERS = (trace, key) ->
            trace == null ? null : key.equals(TraceContext.TRACEPARENT) ? trace.traceparent() : trace.tracestate();

    private final SdkTracerProvider provider;
    private final Tracer tracer;

    /** @param endpoint that takes OTLP over HTTP, such as {@code http://collector:4318/v1/traces} */
    FrameSpans(String endpoint, ModelIdentity model) {
        provider = SdkTracerProvider.builder()
                .setResource(Resource.create(Attributes.of(
                        SERVICE,
                        "uplift-stream",
                        MODEL,
                        model.getName() + " " + model.getVersion(),
                        VARIANT,
                        model.getVariant())))
                .addSpanProcessor(BatchSpanProcessor.builder(OtlpHttpSpanExporter.builder()
                                .setEndpoint(endpoint)
                                .build())
                        .build())
                .build();
        tracer = provider.get("io.upliftstream.job");
    }

    /** Sends the spans of a frame that has ended; frames that were let go have counters instead. */
    void ended(FrameOutcome outcome) {
        if (outcome instanceof FrameOutcome.Result result) {
            finished(result);
        } else if (outcome instanceof FrameOutcome.Failure failure) {
            Span span = start(failure.source(), failure.frame(), epochNanos());
            span.setAttribute(ERROR, failure.problem().reason())
                    .setStatus(
                            StatusCode.ERROR, String.valueOf(failure.problem().getMessage()))
                    .end();
        }
    }

    private void finished(FrameOutcome.Result result) {
        StageTimings timings = result.timings();
        long now = epochNanos();
        long encoded = now - (System.nanoTime() - result.encodedAtNanos());
        long start = encoded
                - result.encodeNanos()
                - timings.upsampleNanos()
                - timings.backboneNanos()
                - timings.decodeNanos()
                - timings.queueNanos();
        Span span = start(result.frame().source(), result.frame(), start);
        if (span.getSpanContext().isSampled()) {
            span.setAttribute(BATCH, timings.batchSize());
            Context parent = Context.root().with(span);
            long at = stage("queue", parent, start, timings.queueNanos());
            at = stage("decode", parent, at, timings.decodeNanos());
            at = stage("backbone", parent, at, timings.backboneNanos());
            at = stage("upsample", parent, at, timings.upsampleNanos());
            stage("encode", parent, at, result.encodeNanos());
        }
        span.end(now, TimeUnit.NANOSECONDS);
    }

    private Span start(RawFrame source, @Nullable Frame frame, long startNanos) {
        TraceContext trace = frame == null ? source.trace() : frame.trace();
        SpanBuilder builder = tracer.spanBuilder("process " + source.topic())
                .setParent(W3CTraceContextPropagator.getInstance().extract(Context.root(), trace, HEADERS))
                .setSpanKind(SpanKind.CONSUMER)
                .setStartTimestamp(startNanos, TimeUnit.NANOSECONDS)
                .setAttribute(SYSTEM, "kafka")
                .setAttribute(TOPIC, source.topic())
                .setAttribute(PARTITION, Integer.toString(source.partition()))
                .setAttribute(OFFSET, source.offset());
        if (frame != null) {
            builder.setAttribute(CAMERA, frame.cameraId()).setAttribute(SEQUENCE, frame.sequence());
        }
        return builder.startSpan();
    }

    /** Makes the span of a stage and returns when the stage ended, in nanoseconds since 1970. */
    private long stage(String name, Context parent, long start, long nanos) {
        tracer.spanBuilder(name)
                .setParent(parent)
                .setStartTimestamp(start, TimeUnit.NANOSECONDS)
                .startSpan()
                .end(start + nanos, TimeUnit.NANOSECONDS);
        return start + nanos;
    }

    private static long epochNanos() {
        return ChronoUnit.NANOS.between(Instant.EPOCH, Instant.now());
    }

    /** Sends the spans that are left, if somebody takes them within {@value #PATIENCE_SECONDS} seconds. */
    @Override
    public void close() {
        provider.shutdown().join(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }
}
