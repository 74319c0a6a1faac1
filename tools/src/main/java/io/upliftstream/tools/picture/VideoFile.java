package io.upliftstream.tools.picture;

import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.UUID;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacv.FFmpegFrameRecorder;
import org.bytedeco.javacv.Frame;
import org.bytedeco.javacv.FrameRecorder;

/**
 * An MP4 file of pictures, each shown at its own time: H.264 by OpenH264 where FFmpeg was built with it, as the bundled
 * one is, else MPEG-4 Part 2.
 */
public final class VideoFile implements AutoCloseable {
    private static final String OPEN_H264 = "libopenh264";
    /** Units of time per second, as usual in MPEG: any frame rate, and frames that are missing, keep their times. */
    private static final int TICKS = 90_000;

    private static final int FRAMES_BETWEEN_KEYS = 50;
    /** The most units per second that MPEG-4 Part 2 can state. */
    private static final int MPEG4_TICKS = 65_535;

    /** Of OpenH264: pixels of the least side and of a frame at its highest level. */
    private static final int MIN_SIDE = 16;

    private static final int MAX_PIXELS = 4096 * 2304;

    private final Path file;
    private final Path fresh;
    private final FFmpegFrameRecorder recorder;
    private final BufferedImage canvas;
    private final Frame frame;
    private long lastTick = -1;

    /** Whether there can be a video of so large a picture. */
    public static boolean encodes(int width, int height) {
        return width >= MIN_SIDE && height >= MIN_SIDE && (long) width * height <= MAX_PIXELS;
    }

    /**
     * Begins a file, which has its name once it is closed, in place of what had it; an odd last row or column is left out, as H.264 wants it.
     *
     * @throws IOException if it cannot be written
     */
    public VideoFile(Path file, int width, int height) throws IOException {
        this.file = file;
        fresh = file.resolveSibling("." + UUID.randomUUID() + ".part");
        Files.createFile(fresh);
        int evenWidth = Math.max(2, width & ~1);
        int evenHeight = Math.max(2, height & ~1);
        canvas = new BufferedImage(evenWidth, evenHeight, BufferedImage.TYPE_3BYTE_BGR);
        frame = new Frame(evenWidth, evenHeight, Frame.DEPTH_UBYTE, 3, 3 * evenWidth);
        avutil.av_log_set_level(avutil.AV_LOG_FATAL);
        recorder = new FFmpegFrameRecorder(fresh.toFile(), evenWidth, evenHeight);
        recorder.setFormat("mp4");
        recorder.setPixelFormat(avutil.AV_PIX_FMT_YUV420P);
        recorder.setGopSize(FRAMES_BETWEEN_KEYS);
        recorder.setOption("movflags", "faststart");
        if (avcodec.avcodec_find_encoder_by_name(OPEN_H264) != null) {
            recorder.setVideoCodecName(OPEN_H264);
            recorder.setFrameRate(TICKS);
            recorder.setVideoBitrate(0);
            recorder.setVideoOption("rc_mode", "off"); // the same quality throughout
        } else {
            recorder.setVideoCodec(avcodec.AV_CODEC_ID_MPEG4);
            recorder.setFrameRate(MPEG4_TICKS);
            recorder.setVideoBitrate(0);
            recorder.setVideoQuality(4);
        }
        try {
            recorder.start();
        } catch (FrameRecorder.Exception e) {
            Files.delete(fresh);
            throw new IOException("output: %s cannot be written: %s".formatted(file, e.getMessage()), e);
        }
    }

    /**
     * Adds a picture.
     *
     * @param micros since the video's beginning
     * @return false if the time is not after that of the picture before, or more than six and a half hours after the
     *     beginning; it is left out then
     */
    public boolean add(BufferedImage picture, long micros) throws IOException {
        double tick = Math.rint(micros * recorder.getFrameRate() / 1e6);
        if (tick <= lastTick || tick > Integer.MAX_VALUE) { // JavaCV counts in ints
            return false;
        }
        lastTick = (long) tick;
        Graphics2D pen = canvas.createGraphics();
        pen.drawImage(picture, 0, 0, null);
        pen.dispose();
        ((ByteBuffer) frame.image[0])
                .rewind()
                .put(((DataBufferByte) canvas.getRaster().getDataBuffer()).getData())
                .rewind();
        recorder.setTimestamp(micros);
        try {
            recorder.record(frame, avutil.AV_PIX_FMT_BGR24);
        } catch (FrameRecorder.Exception e) {
            throw new IOException("output: %s cannot be written: %s".formatted(file, e.getMessage()), e);
        }
        return true;
    }

    /** Ends the file; without this it does not play. */
    @Override
    public void close() throws IOException {
        frame.close();
        recorder.close();
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
    }
}
