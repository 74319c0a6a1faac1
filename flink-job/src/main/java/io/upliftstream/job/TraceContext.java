package io.upliftstream.job;

import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The W3C trace context of a frame, carried through; see https://www.w3.org/TR/trace-context. What is none is taken for null:
 * a {@code traceparent} of another form, a {@code tracestate} without a {@code traceparent} or with other characters than it
 * may have. A {@code tracestate} that is too long loses its last members.
 */
public record TraceContext(@Nullable String traceparent, @Nullable String tracestate) {
    static final String TRACEPARENT = "traceparent";
    static final String TRACESTATE = "tracestate";
    public static final TraceContext NONE = new TraceContext(null, null);

    /** What everybody passes on at least, by the specification. */
    static final int MAX_TRACESTATE = 512;

    private static final Pattern PARENT =
            Pattern.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}");
    private static final Pattern STATE = Pattern.compile("[ -~\t]+");

    /** Characters, which are bytes. */
    int length() {
        return (traceparent == null ? 0 : traceparent.length()) + (tracestate == null ? 0 : tracestate.length());
    }

    public TraceContext {
        if (traceparent == null || !PARENT.matcher(traceparent).matches()) {
            traceparent = null;
            tracestate = null;
        } else if (tracestate != null) {
            if (tracestate.length() > MAX_TRACESTATE) {
                tracestate = tracestate.substring(0, Math.max(0, tracestate.lastIndexOf(',', MAX_TRACESTATE)));
            }
            if (!STATE.matcher(tracestate).matches()) {
                tracestate = null;
            }
        }
    }
}
