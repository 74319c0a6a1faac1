package io.upliftstream.tools.camera;

import java.awt.Graphics2D;
import java.awt.geom.AffineTransform;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacv.FFmpegFrameGrabber;
import org.bytedeco.javacv.Frame;
import org.bytedeco.javacv.FrameGrabber;
import org.jspecify.annotations.Nullable;

/**
 * A video file, a network stream (RTSP, HTTP) or a webcam (V4L2) as a camera: every frame, in any format that FFmpeg
 * reads, upright, as JPEG.
 */
public final class VideoCamera implements Camera {
    /** A network stream is taken to be gone after this long without a packet. */
    private static final Duration SILENCE = Duration.ofSeconds(10);

    private final String id;
    private final String source;
    private final String shown;
    private final JpegFormat format;
    private final FFmpegFrameGrabber grabber;
    /** Quarters, clockwise, until a picture is upright. */
    private long turns;

    private long firstMicros = -1;
    private int next;

    /**
     * Opens a video.
     *
     * @param source a file, a URL or a device such as {@code /dev/video0}
     * @throws IOException if FFmpeg finds no picture there
     */
    public VideoCamera(String id, String source, JpegFormat format) throws IOException {
        this.id = id;
        this.source = source;
        this.shown = source.replaceFirst("//[^/@]*@", "//***@"); // a password is nothing for a log
        this.format = format;
        avutil.av_log_set_level(avutil.AV_LOG_FATAL);
        this.grabber = new FFmpegFrameGrabber(source);
        if (isDevice(source)) {
            grabber.setFormat("v4l2");
        } else if (isUrl(source)) {
            String micros = Long.toString(SILENCE.toNanos() / 1000);
            grabber.setOption(source.startsWith("rtsp") ? "timeout" : "rw_timeout", micros);
            grabber.setOption("rtsp_transport", "tcp"); // a lost packet would be a grey smear
        }
        start();
    }

    private void start() throws IOException {
        try {
            grabber.start();
        } catch (FrameGrabber.Exception e) {
            grabber.close();
            throw new IOException(
                    "input: %s cannot be opened: %s (expected: %s)"
                            .formatted(
                                    shown,
                                    reason(e),
                                    isDevice(source)
                                            ? "a webcam that is there, free, and readable for this user"
                                            : isUrl(source)
                                                    ? "a stream that is running at this address"
                                                    : "a video that FFmpeg reads"),
                    source.equals(shown) ? e : null);
        }
        if (grabber.getImageWidth() == 0) {
            grabber.close();
            throw new IOException("input: " + shown + " holds no pictures (expected: a video)");
        }
        // Phones film sideways and say so.
        turns = Math.floorMod(Math.round(-grabber.getDisplayRotation() / 90), 4);
        if (format.width() > 0) {
            boolean sideways = turns % 2 == 1;
            float proportion = (float) grabber.getImageHeight() / grabber.getImageWidth();
            int height = format.height() > 0
                    ? format.height()
                    : Math.max(1, Math.round(format.width() * (sideways ? 1 / proportion : proportion)));
            grabber.setImageWidth(sideways ? height : format.width());
            grabber.setImageHeight(sideways ? format.width() : height);
        }
    }

    /** FFmpeg's own words for its error code. */
    private String reason(FrameGrabber.Exception e) {
        String message = String.valueOf(e.getMessage());
        int at = message.indexOf("error ");
        String code = at < 0 ? "" : message.substring(at + 6).replaceFirst("^(-?\\d+).*", "$1");
        if (!code.matches("-?\\d+")) {
            return message.replace(source, shown);
        }
        byte[] text = new byte[128];
        avutil.av_strerror(Integer.parseInt(code), text, text.length);
        return new String(text, StandardCharsets.UTF_8).replaceFirst("\0.*", "");
    }

    static boolean isUrl(String source) {
        return source.matches("[a-z][a-z0-9+]+://.*");
    }

    static boolean isDevice(String source) {
        return source.startsWith("/dev/");
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
    public boolean live() {
        return isDevice(source) || (isUrl(source) && grabber.getLengthInTime() <= 0); // a file has a length
    }

    @Override
    public @Nullable Shot next() throws IOException {
        BufferedImage image = nextImage();
        if (image == null && live()) {
            throw new IOException(
                    "input: %s broke off after frame %d (expected: pictures without end; --loop opens it again)"
                            .formatted(shown, next));
        } else if (image == null) {
            return null;
        }
        long micros = grabber.getTimestamp();
        if (firstMicros < 0) {
            firstMicros = micros;
        }
        Duration position = Duration.of(micros - firstMicros, ChronoUnit.MICROS);
        return new Shot("%s_%06d".formatted(id, next++), Images.jpeg(image, format.quality()), "jpeg", position, null);
    }

    private @Nullable BufferedImage nextImage() throws IOException {
        try {
            Frame frame = grabber.grabImage();
            return frame == null ? null : upright(copy(frame));
        } catch (FrameGrabber.Exception e) {
            throw new IOException("input: %s cannot be read after frame %d".formatted(shown, next), e);
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

    private BufferedImage upright(BufferedImage image) {
        if (turns == 0) {
            return image;
        }
        boolean sideways = turns % 2 == 1;
        int width = sideways ? image.getHeight() : image.getWidth();
        int height = sideways ? image.getWidth() : image.getHeight();
        BufferedImage upright = new BufferedImage(width, height, image.getType());
        Graphics2D pen = upright.createGraphics();
        pen.translate(width / 2.0, height / 2.0);
        pen.transform(AffineTransform.getQuadrantRotateInstance((int) turns));
        pen.translate(-image.getWidth() / 2.0, -image.getHeight() / 2.0);
        pen.drawImage(image, 0, 0, null);
        pen.dispose();
        return upright;
    }

    /** The only picture of a file such as a TIFF or WebP. */
    static BufferedImage still(Path file) throws IOException {
        try (VideoCamera camera = new VideoCamera("still", file.toString(), JpegFormat.of(1))) {
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
