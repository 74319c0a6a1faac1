package io.upliftstream.job;

import org.jspecify.annotations.Nullable;

/** The W3C trace context of a frame, carried through unread; see https://www.w3.org/TR/trace-context. */
public record TraceContext(@Nullable String traceparent, @Nullable String tracestate) {
    static final String TRACEPARENT = "traceparent";
    static final String TRACESTATE = "tracestate";
    public static final TraceContext NONE = new TraceContext(null, null);
}
