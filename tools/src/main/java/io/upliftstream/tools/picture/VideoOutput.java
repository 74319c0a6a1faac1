package io.upliftstream.tools.picture;

import java.io.Closeable;
import java.io.IOException;
import java.util.Collection;

/** A video that is being written; without {@link #close} it does not play. */
public interface VideoOutput extends Closeable {
    /** How many pictures are not shown at their time. */
    long continued();

    /** Ends all of them, even if one cannot be ended. */
    static void closeAll(Collection<? extends VideoOutput> videos) throws IOException {
        IOException failed = null;
        for (VideoOutput video : videos) {
            try {
                video.close();
            } catch (IOException e) {
                if (failed != null) {
                    e.addSuppressed(failed);
                }
                failed = e;
            }
        }
        if (failed != null) {
            throw failed;
        }
    }
}
