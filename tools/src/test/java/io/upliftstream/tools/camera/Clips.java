package io.upliftstream.tools.camera;

import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.bytedeco.ffmpeg.global.avcodec;
import org.bytedeco.ffmpeg.global.avutil;
import org.bytedeco.javacv.FFmpegFrameRecorder;
import org.bytedeco.javacv.Frame;
import org.bytedeco.javacv.Java2DFrameConverter;

/** Small videos for tests, made on the spot. */
final class Clips {
    private Clips() {}

    /** One frame of raw planes as FFV1, which loses nothing, with what FFmpeg calls its colours. */
    static void lossless(Path file, int size, int rowBytes, int pixelFormat, byte[] planes, Map<String, String> colours)
            throws IOException {
        try (FFmpegFrameRecorder recorder = new FFmpegFrameRecorder(file.toFile(), size, size)) {
            recorder.setFormat("matroska");
            recorder.setVideoCodec(avcodec.AV_CODEC_ID_FFV1);
            recorder.setPixelFormat(pixelFormat);
            recorder.setFrameRate(10);
            colours.forEach(recorder::setVideoOption);
            recorder.start();
            ByteBuffer buffer =
                    ByteBuffer.allocateDirect(planes.length).put(planes).rewind();
            recorder.recordImage(size, size, Frame.DEPTH_UBYTE, 1, rowBytes, pixelFormat, buffer);
        }
    }

    /** A video of pictures, ten a second, in a format and codec of FFmpeg. */
    static void video(Path file, String format, int codec, List<BufferedImage> pictures) throws IOException {
        video(file, format, codec, pictures, "");
    }

    /** As above, with FFmpeg's flags for an MP4. */
    static void video(Path file, String format, int codec, List<BufferedImage> pictures, String movflags)
            throws IOException {
        int width = pictures.get(0).getWidth();
        int height = pictures.get(0).getHeight();
        try (FFmpegFrameRecorder recorder = new FFmpegFrameRecorder(file.toFile(), width, height);
                Java2DFrameConverter converter = new Java2DFrameConverter()) {
            recorder.setFormat(format);
            recorder.setVideoCodec(codec);
            recorder.setPixelFormat(avutil.AV_PIX_FMT_YUV420P);
            recorder.setFrameRate(10);
            recorder.setGopSize(5);
            if (codec == avcodec.AV_CODEC_ID_H264) { // OpenH264 holds no rate with noise
                recorder.setVideoBitrate(0);
                recorder.setVideoOption("rc_mode", "off");
            }
            if (!movflags.isEmpty()) {
                recorder.setOption("movflags", movflags);
            }
            recorder.start();
            for (BufferedImage picture : pictures) {
                recorder.record(converter.convert(picture));
            }
        }
    }

    /** Twenty pictures of noise, so that they take more room than their container. */
    static List<BufferedImage> noise() {
        List<BufferedImage> pictures = new ArrayList<>();
        Random random = new Random(1);
        for (int i = 0; i < 20; i++) {
            BufferedImage picture = flat(64, 48, Color.BLACK);
            random.nextBytes(((DataBufferByte) picture.getRaster().getDataBuffer()).getData());
            pictures.add(picture);
        }
        return pictures;
    }

    static BufferedImage flat(int width, int height, Color colour) {
        BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
        Graphics2D pen = picture.createGraphics();
        pen.setColor(colour);
        pen.fillRect(0, 0, width, height);
        pen.dispose();
        return picture;
    }

    /** Black with a white upper left quarter, wider than high: each of the eight orientations shows it otherwise. */
    static BufferedImage corner() {
        BufferedImage picture = flat(64, 48, Color.BLACK);
        Graphics2D pen = picture.createGraphics();
        pen.setColor(Color.WHITE);
        pen.fillRect(0, 0, 32, 16);
        pen.dispose();
        return picture;
    }

    static List<Shot> all(Camera camera) throws IOException {
        List<Shot> shots = new ArrayList<>();
        for (Shot shot = camera.next(); shot != null; shot = camera.next()) {
            shots.add(shot);
        }
        return shots;
    }
}
