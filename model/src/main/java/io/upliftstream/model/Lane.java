package io.upliftstream.model;

import ai.djl.ndarray.NDArray;
import java.nio.ByteBuffer;

/**
 * A way along which a device takes one call after the other, without being waited for between them. Two lanes of a GPU work
 * at the same time. A lane belongs to one thread at a time.
 */
interface Lane extends AutoCloseable {
    /** What opens a lane to a device. */
    @FunctionalInterface
    interface Opener {
        Lane open() throws BundleException;
    }

    /** Launches that were kept. Those of a lane share memory: what was freed when one was recorded, others may write to. */
    interface Recording extends AutoCloseable {
        /** Launches them; within {@link #along}. */
        void replay();

        @Override
        void close();
    }

    /** Runs something whose launches go along the lane: those of PyTorch, from this thread. */
    void along(Runnable calls);

    /** A direct buffer that the device reads and writes by itself; it lives as long as the lane. */
    ByteBuffer pinned(int bytes);

    /** Where an array's numbers are on the device, for as long as they are there. */
    long address(NDArray array);

    /** Copies what remains in a {@link #pinned} buffer to the device; returns before it is copied. */
    void upload(ByteBuffer from, long address);

    /** Fills what remains of a {@link #pinned} buffer from the device; returns before it is filled. */
    void download(long address, ByteBuffer to);

    /** Marks this place of the lane, by a number from 0 to 7. */
    void mark(int mark);

    /** Waits until the lane has come to a mark. */
    void await(int mark);

    /** The time between two marks that the lane has come to. */
    long nanos(int from, int to);

    /**
     * Keeps what a function launches, instead of running it; within {@link #along}.
     *
     * @throws IllegalStateException if the device records nothing, or cannot record this
     */
    Recording record(Runnable launches);

    /** Its recordings have to be closed before. */
    @Override
    void close();
}
