package io.upliftstream.tools.camera;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A source of frames in order; used by one thread. */
public interface Camera extends AutoCloseable {
    /** Name of the camera: the key of its records. */
    String id();

    /** The pace at which it takes pictures. */
    double framesPerSecond();

    /** Whether it has packets of video rather than images. */
    default boolean packets() {
        return false;
    }

    /** Whether pictures are lost when nobody takes them, and taken as they happen. */
    default boolean live() {
        return false;
    }

    /**
     * The next picture, or null after the last.
     *
     * @throws UnreadableShotException if that picture cannot be read; the next call goes on behind it
     * @throws IOException if the camera cannot go on
     */
    @Nullable
    Shot next() throws IOException;

    /** The next pictures, at most so many: fewer where the camera ends. */
    default List<Shot> take(int count) throws IOException {
        List<Shot> shots = new ArrayList<>();
        while (shots.size() < count) {
            Shot shot = next();
            if (shot == null) {
                break;
            }
            shots.add(shot);
        }
        return shots;
    }

    /** What there is to say about its pictures, in sentences, since this was asked last. */
    default List<String> notes() {
        return List.of();
    }

    @Override
    void close() throws IOException;
}
