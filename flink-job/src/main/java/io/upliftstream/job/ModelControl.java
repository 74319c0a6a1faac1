package io.upliftstream.job;

import io.upliftstream.model.HeadSpec;
import java.io.Serializable;
import java.util.Collection;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Where a subtask's commands come from and what it asks Kafka: in production a {@link ControlTopic}. */
interface ModelControl extends Serializable {
    /** Takes commands, one at a time. */
    interface Listener {
        /**
         * Called by any thread.
         *
         * @param nextOffset of the command behind this one
         * @return completes when the next one may come
         */
        CompletableFuture<?> command(byte @Nullable [] value, long nextOffset);
    }

    /** The topic that commands come from. */
    String topic();

    /** Offset of the first command of a job without state: those before the job are not its own. */
    long start();

    /**
     * Hands over commands from an offset on.
     *
     * @return ends that
     */
    Runnable listen(long offset, Listener listener);

    /**
     * The largest record of each topic that heads are written to, in bytes, where it is known.
     *
     * @throws StartupException if one of the topics is missing
     */
    Map<String, Integer> topicLimits(Collection<HeadSpec> heads);
}
