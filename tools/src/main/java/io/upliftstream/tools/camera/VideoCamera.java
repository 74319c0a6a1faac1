package io.upliftstream.tools.camera;

import io.upliftstream.model.ImageHeader;
import io.upliftstream.model.video.PixelConverter;
import io.upliftstream.tools.picture.Timeline;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.jspecify.annotations.Nullable;

/**
 * A video file, a network stream (RTSP, HTTP) or a webcam (V4L2) as a camera: every frame, in any format that FFmpeg
 * reads, in its own colours and upright ({@link PixelConverter}), each in its own size, as JPEG.
 */
public final class VideoCamera implements Camera {
    private final String id;
    private final String shown;
    private final JpegFormat format;
    private final VideoReader reader;
    private final UprightConverter converter;
    private final boolean live;
    private final double framesPerSecond;
    private final Timeline timeline;
    private final List<String> notes = new ArrayList<>();
    private int next;
    private boolean ended;

    /**
     * Opens a video.
     *
     * @param source a file, a URL or a device such as {@code /dev/video0}; what exists as a file is one
     * @throws IOException if FFmpeg finds no picture there
     */
    public VideoCamera(String id, String source, JpegFormat format) throws IOException {
        this.id = id;
        this.shown = Demuxer.shown(source);
        this.format = format;
        Demuxer input = Demuxer.require(source, false);
        live = input.live(source);
        framesPerSecond = input.framesPerSecond();
        try {
            reader = new VideoReader(input);
        } catch (IOException e) {
            throw new IOException(
                    "input: %s cannot be decoded: %s (expected: a codec that FFmpeg has)"
                            .formatted(shown, e.getMessage()),
                    e);
        }
        converter = new UprightConverter();
        timeline = Timeline.of(framesPerSecond);
        if (reader.hdr()) {
            notes.add("input: " + shown + " is HDR, and is mapped to the tones and colours of BT.709");
        }
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
    public boolean live() {
        return live;
    }

    @Override
    public @Nullable Shot next() throws IOException {
        if (ended) {
            return null;
        }
        AVFrame frame = reader.next();
        if (frame == null) {
            return end();
        }
        boolean followed = timeline.continued() == 0;
        Duration position = Duration.of(timeline.next(reader.micros(frame)), ChronoUnit.MICROS);
        if (followed && timeline.continued() > 0 && !live()) {
            notes.add(
                    "input: %s has no time for frame %d that follows the one before; from there on it goes on at %s frames/s"
                            .formatted(shown, next, Math.round(100 * framesPerSecond()) / 100.0));
        }
        String name = "%s_%06d".formatted(id, next++);
        BufferedImage image;
        try {
            image = converter.convert(frame, PixelConverter.orientation(frame), format);
        } catch (IOException e) {
            throw new UnreadableShotException("%s of %s: %s".formatted(name, shown, e.getMessage()), e);
        }
        return new Shot(name, Images.jpeg(image, format.quality()), "jpeg", position, null);
    }

    private @Nullable Shot end() throws IOException {
        ended = true;
        if (live()) {
            throw new IOException(
                    "input: %s broke off after frame %d (expected: pictures without end; --loop opens it again)"
                            .formatted(shown, next));
        }
        String damage = reader.damage();
        if (damage != null) {
            throw new UnreadableShotException("input: %s is not whole: %s".formatted(shown, damage));
        }
        return null;
    }

    @Override
    public List<String> notes() {
        List<String> taken = List.copyOf(notes);
        notes.clear();
        return taken;
    }

    /**
     * The only picture of a file such as a TIFF or WebP.
     *
     * @param tiff the file's bytes, if it is a TIFF, whose orientation FFmpeg does not tell; else null
     */
    static BufferedImage still(Path file, byte @Nullable [] tiff) throws IOException {
        try (VideoReader reader = new VideoReader(Demuxer.of(file.toString(), false));
                UprightConverter converter = new UprightConverter()) {
            AVFrame frame = reader.next();
            if (frame == null) {
                throw new IOException("it holds no whole picture");
            }
            int orientation = tiff == null ? PixelConverter.orientation(frame) : ImageHeader.exifOrientation(tiff);
            BufferedImage picture = converter.convert(frame, orientation, JpegFormat.of(1));
            if (reader.damaged()) {
                throw new IOException("its picture is damaged");
            }
            return picture;
        }
    }

    @Override
    public void close() {
        reader.close();
        converter.close();
    }
}
