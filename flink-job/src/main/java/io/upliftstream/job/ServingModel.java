package io.upliftstream.job;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A model that serves frames of one subtask, with what makes records of its answers. It is freed when it was retired and
 * its last frame has left. For the subtask's thread, but for the engine and the encoder.
 */
final class ServingModel {
    private final Activation activation;
    private final FrameEngine engine;
    private final RecordEncoder encoder;
    private final @Nullable FrameSpans spans;
    private int atWork;
    private boolean retired;
    private boolean freed;

    ServingModel(Activation activation, JobSettings settings, Map<String, Integer> topicLimits, FrameEngine engine) {
        this.activation = activation;
        this.engine = engine;
        encoder = new RecordEncoder(settings, topicLimits, engine.model(), engine.classNames());
        spans = settings.tracingEndpoint()
                .map(endpoint -> new FrameSpans(endpoint, engine.model()))
                .orElse(null);
    }

    Activation activation() {
        return activation;
    }

    FrameEngine engine() {
        return engine;
    }

    RecordEncoder encoder() {
        return encoder;
    }

    /** A frame goes to the model. */
    void begin() {
        atWork++;
    }

    /** A frame that went to the model has left. */
    void end() {
        atWork--;
        freeIfIdle();
    }

    /** Sends the spans of a frame that has ended. */
    void ended(FrameOutcome outcome) {
        if (spans != null) {
            spans.ended(outcome);
        }
    }

    /** No more frames come. */
    void retire() {
        retired = true;
        freeIfIdle();
    }

    /** Closing waits for the model's threads, and for a collector of spans: not on the subtask's thread. */
    private void freeIfIdle() {
        if (retired && atWork == 0 && !freed) {
            freed = true;
            Thread closing = new Thread(this::free, "uplift-close");
            closing.setDaemon(true);
            closing.start();
        }
    }

    /** Frees it now, whatever is at work. */
    void close() {
        if (!freed) {
            freed = true;
            free();
        }
    }

    private void free() {
        try {
            engine.close();
        } finally {
            if (spans != null) {
                spans.close();
            }
        }
    }
}
