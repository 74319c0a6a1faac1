package io.upliftstream.tools.camera;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A source of frames in order; used by one thread. */
public interface Camera extends AutoCloseable {
    /** Name of the camera: the key of its records. */
    String id();

    /** The pace at which it takes pictures. */
    double framesPerSecond();

    /** Whether pictures are lost when nobody takes them, and taken as they happen. */
    default boolean live() {
        return false;
    }

    /** The next picture, or null after the last. */
    @Nullable
    Shot next() throws IOException;

    @Override
    void close() throws IOException;
}
