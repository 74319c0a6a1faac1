package io.upliftstream.job;

import java.io.Serializable;
import java.util.Map;

/** How large a record each output topic takes. A limit that is lowered while the job runs costs one restart. */
@FunctionalInterface
interface TopicLimits extends Serializable {
    /**
     * The largest record of each topic in bytes, where it is known.
     *
     * @param again whether the task ran before: what was known when the job was made may not be so any more
     */
    Map<String, Integer> read(boolean again);
}
