package io.upliftstream.tools.camera;

import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacv.FFmpegFrameGrabber;
import org.bytedeco.javacv.Frame;
import org.bytedeco.javacv.FrameGrabber;
import org.jspecify.annotations.Nullable;

/** A video file as a camera: every frame, in any format that FFmpeg reads, as JPEG. */
public final class VideoCamera implements Camera {
    private final String id;
    private final Path file;
    private final double quality;
    private final FFmpegFrameGrabber grabber;
    private int next;

    /**
     * Opens a video.
     *
     * @param quality of the JPEGs, 0 to 1
     * @throws IOException if FFmpeg finds no picture in the file
     */
    public VideoCamera(String id, Path file, double quality) throws IOException {
        this.id = id;
        this.file = file;
        this.quality = quality;
        avutil.av_log_set_level(avutil.AV_LOG_FATAL);
        this.grabber = new FFmpegFrameGrabber(file.toFile());
        try {
            grabber.start();
        } catch (FrameGrabber.Exception e) {
            throw new IOException("input: " + file + " (expected: a video that FFmpeg reads)", e);
        }
        if (grabber.getImageWidth() == 0) {
            grabber.close();
            throw new IOException("input: " + file + " holds no pictures (expected: a video)");
        }
    }

    @Override
    public String id() {
        return id;
    }

    @Override
    public double framesPerSecond() {
        double rate = grabber.getVideoFrameRate();
        return rate > 0 && rate <= 1000 ? rate : 25;
    }

    @Override
    public @Nullable Shot next() throws IOException {
        BufferedImage image = nextImage();
        return image == null
                ? null
                : new Shot("%s_%06d".formatted(id, next++), Images.jpeg(image, quality), "jpeg", null);
    }

    private @Nullable BufferedImage nextImage() throws IOException {
        try {
            Frame frame = grabber.grabImage();
            return frame == null ? null : copy(frame);
        } catch (FrameGrabber.Exception e) {
            throw new IOException("input: %s cannot be read after frame %d".formatted(file, next), e);
        }
    }

    /** Takes over the pixels; JavaCV's own converter guesses channels from the stride and fails on narrow pictures. */
    private static BufferedImage copy(Frame frame) {
        BufferedImage image = new BufferedImage(frame.imageWidth, frame.imageHeight, BufferedImage.TYPE_3BYTE_BGR);
        byte[] pixels = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
        ByteBuffer rows = (ByteBuffer) frame.image[0];
        int rowBytes = 3 * frame.imageWidth;
        for (int y = 0; y < frame.imageHeight; y++) {
            rows.get(y * frame.imageStride, pixels, y * rowBytes, rowBytes);
        }
        return image;
    }

    /** The only picture of a file such as a TIFF or WebP. */
    static BufferedImage still(Path file) throws IOException {
        try (VideoCamera camera = new VideoCamera("still", file, 1)) {
            BufferedImage image = camera.nextImage();
            if (image == null) {
                throw new IOException("input: " + file + " holds no picture (expected: one that FFmpeg reads)");
            }
            return image;
        }
    }

    @Override
    public void close() throws IOException {
        grabber.close();
    }
}
