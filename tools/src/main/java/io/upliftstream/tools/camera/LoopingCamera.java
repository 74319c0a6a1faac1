package io.upliftstream.tools.camera;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A camera that begins again at its end; a live one that breaks off is opened again, however often it takes. */
public final class LoopingCamera implements Camera {
    private static final Logger LOG = LoggerFactory.getLogger(LoopingCamera.class);
    private static final Duration PAUSE = Duration.ofSeconds(2);

    private final CameraSource source;
    private final JpegFormat format;
    private final Video video;
    private Camera camera;
    private long openedNanos = System.nanoTime();
    private Duration lapStart = Duration.ZERO;
    private Duration lapEnd = Duration.ZERO;

    /** Opens it for the first time. */
    public LoopingCamera(CameraSource source, JpegFormat format, Video video) throws IOException {
        this.source = source;
        this.format = format;
        this.video = video;
        this.camera = source.open(format, video);
    }

    @Override
    public String id() {
        return camera.id();
    }

    @Override
    public double framesPerSecond() {
        return camera.framesPerSecond();
    }

    @Override
    public boolean packets() {
        return camera.packets();
    }

    @Override
    public boolean live() {
        return camera.live();
    }

    @Override
    public Shot next() throws IOException {
        Shot shot = tryNext();
        while (shot == null) {
            if (!live() && lapEnd.equals(lapStart)) {
                throw new IOException("input: " + source.source() + " holds no pictures (expected: a video)");
            }
            lapStart = lapEnd;
            camera.close();
            reopen();
            shot = tryNext();
        }
        Duration position = lapStart.plus(shot.position());
        Duration end = position.plusNanos(Math.round(1e9 / camera.framesPerSecond()));
        lapEnd = end.compareTo(lapEnd) > 0 ? end : lapEnd;
        return new Shot(shot.name(), shot.image(), shot.format(), position, shot.key(), shot.labels());
    }

    private @Nullable Shot tryNext() throws IOException {
        try {
            return camera.next();
        } catch (IOException e) {
            if (!live() || e instanceof UnreadableShotException) {
                throw e;
            }
            LOG.warn("{}; opening it again", e.getMessage());
            return null;
        }
    }

    private void reopen() throws IOException {
        while (true) {
            if (live()) {
                pause();
            }
            openedNanos = System.nanoTime();
            try {
                camera = source.open(format, video);
                return;
            } catch (IOException e) {
                if (!live()) {
                    throw e;
                }
                LOG.warn("{}; trying again", e.getMessage());
            }
        }
    }

    /** Until the last time that it was opened is long enough ago: a source may end as soon as it is open. */
    private void pause() throws InterruptedIOException {
        long left = PAUSE.minusNanos(System.nanoTime() - openedNanos).toMillis();
        try {
            Thread.sleep(Math.max(0, left));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("stopped while " + source.id() + " was away");
        }
    }

    @Override
    public List<String> notes() {
        return camera.notes();
    }

    @Override
    public void close() throws IOException {
        camera.close();
    }
}
