package io.upliftstream.job;

import java.io.Serializable;
import java.util.Map;

/** How large a record each output topic takes: asked whenever a task starts, so that a limit lowered since costs one restart. */
@FunctionalInterface
interface TopicLimits extends Serializable {
    /** The largest record of each topic in bytes, where it is known. */
    Map<String, Integer> read();
}
