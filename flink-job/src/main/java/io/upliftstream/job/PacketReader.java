package io.upliftstream.job;

import java.io.Serializable;
import java.util.function.Predicate;

/** Reads packets again that the job has read before: a decoder that begins anew needs those since the key frame. */
interface PacketReader extends AutoCloseable {
    /** Records of a partition from one offset to another, both included. */
    record Range(String topic, int partition, long from, long to) {}

    /**
     * Reads the records as far as they are still there.
     *
     * @param packets takes each, and says whether to go on
     */
    void read(Range range, Predicate<RawFrame> packets);

    @Override
    void close();

    /** Makes a subtask's reader when the first packet is read again. */
    @FunctionalInterface
    interface Factory extends Serializable {
        PacketReader open(JobSettings settings);
    }
}
