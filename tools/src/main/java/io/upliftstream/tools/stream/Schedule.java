package io.upliftstream.tools.stream;

import java.time.Instant;
import org.jspecify.annotations.Nullable;

/**
 * When a camera's frames go out, and what capture time they carry.
 *
 * @param framesPerSecond at which they go out; a live camera leaves out what comes faster. Or {@link #NATIVE}, or
 *     {@link #UNPACED}
 * @param frames after which a camera is done
 * @param firstCapture of recorded pictures: when the first was taken, the others by the camera's clock. Null for the
 *     time of sending, as of live ones, which a rate of its own asks for: the camera's clock would run away from it
 */
public record Schedule(double framesPerSecond, long frames, @Nullable Instant firstCapture) {
    /** As the camera takes them. */
    public static final double NATIVE = 0;

    /** As fast as they are taken up. */
    public static final double UNPACED = Double.POSITIVE_INFINITY;
}
