package io.upliftstream.tools.camera;

import io.upliftstream.tools.street.StreetCamera;
import io.upliftstream.tools.street.StreetFrame;
import java.time.Duration;

/** A synthetic street as a camera: JPEG frames with the true class of every pixel. */
public final class SyntheticCamera implements Camera {
    private final String id;
    private final StreetCamera street;
    private final double framesPerSecond;
    private final double quality;
    private int next;

    /** A camera of the given street; it never ends. */
    public SyntheticCamera(String id, long seed, int width, int height, double framesPerSecond, double quality) {
        this.id = id;
        this.street = new StreetCamera(seed, width, height, framesPerSecond);
        this.framesPerSecond = framesPerSecond;
        this.quality = quality;
    }

    @Override
    public String id() {
        return id;
    }

    @Override
    public double framesPerSecond() {
        return framesPerSecond;
    }

    @Override
    public Shot next() {
        StreetFrame frame = street.frame(next);
        Duration position = Duration.ofNanos(Math.round(next * 1e9 / framesPerSecond));
        return new Shot(
                "%s_%06d".formatted(id, next++), Images.jpeg(frame.image(), quality), "jpeg", position, frame.labels());
    }

    @Override
    public void close() {}
}
