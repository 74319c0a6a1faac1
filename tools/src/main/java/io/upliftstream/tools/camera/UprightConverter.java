package io.upliftstream.tools.camera;

import io.upliftstream.model.video.PixelConverter;
import java.awt.image.BufferedImage;
import java.io.IOException;
import org.bytedeco.ffmpeg.avutil.AVFrame;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.opencv_core.Mat;

/** Turns FFmpeg's frames into upright pictures of a size, in the colours that {@link PixelConverter} gives them. */
final class UprightConverter implements AutoCloseable {
    private final PixelConverter converter = new PixelConverter();

    /**
     * Converts a frame, scaled to the format's size if it has one.
     *
     * @param orientation of EXIF, 1 to 8
     */
    BufferedImage convert(AVFrame frame, int orientation, JpegFormat format) throws IOException {
        int width = frame.width();
        int height = frame.height();
        if (format.width() > 0) {
            boolean sideways = orientation >= 5;
            double proportion = sideways ? (double) width / height : (double) height / width;
            int upright =
                    format.height() > 0 ? format.height() : Math.max(1, (int) Math.round(format.width() * proportion));
            width = sideways ? upright : format.width();
            height = sideways ? format.width() : upright;
        }
        AVFrame rgb = converter.convert(frame, width, height);
        if (rgb == null) {
            throw new IOException("a frame of format %d cannot be converted".formatted(frame.format()));
        }
        try (Mat stored = new Mat(height, width, opencv_core.CV_8UC3, rgb.data(0), rgb.linesize(0))) {
            return Images.uprightRgb(stored, orientation);
        }
    }

    @Override
    public void close() {
        converter.close();
    }
}
