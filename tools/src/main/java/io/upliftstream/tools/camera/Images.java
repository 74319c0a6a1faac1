package io.upliftstream.tools.camera;

import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.ImageHeader;
import io.upliftstream.model.Picture;
import java.awt.Dimension;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Objects;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageOutputStream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;

/** Pictures to bytes and back. */
public final class Images {
    private Images() {}

    /** Encodes a picture without alpha as JPEG; quality 0 to 1. */
    public static byte[] jpeg(BufferedImage image, double quality) {
        ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(1 << 16);
        try (ImageOutputStream out = Objects.requireNonNull(ImageIO.createImageOutputStream(bytes))) {
            ImageWriteParam parameters = writer.getDefaultWriteParam();
            parameters.setCompressionMode(ImageWriteParam.MODE_EXPLICIT);
            parameters.setCompressionQuality((float) quality);
            writer.setOutput(out);
            writer.write(null, new IIOImage(image, null, null), parameters);
        } catch (IOException e) {
            throw new UncheckedIOException("a JPEG in memory", e);
        } finally {
            writer.dispose();
        }
        return bytes.toByteArray();
    }

    /** Encodes a picture as PNG. */
    public static byte[] png(BufferedImage image) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(1 << 16);
        try {
            ImageIO.write(image, "png", bytes);
        } catch (IOException e) {
            throw new UncheckedIOException("a PNG in memory", e);
        }
        return bytes.toByteArray();
    }

    /**
     * The sizes of a JPEG or PNG by its header, before EXIF orientation.
     *
     * @throws IOException if it has none, or {@link ImageHeader} refuses it
     */
    public static Dimension size(byte[] bytes) throws IOException {
        ImageHeader header = header(bytes);
        return new Dimension(header.width(), header.height());
    }

    private static ImageHeader header(byte[] bytes) throws IOException {
        try {
            return ImageHeader.read(bytes, FrameDecoder.DEFAULT_MAX_PIXELS);
        } catch (FrameException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Decodes a JPEG or PNG as people see it: EXIF orientation applied, three colours. Bytes of any other format do not reach
     * the decoder, nor does an image that {@link ImageHeader} refuses.
     *
     * @return a picture of {@link BufferedImage#TYPE_3BYTE_BGR}
     * @throws IOException if the bytes are not a whole picture, or one of more than 50 megapixels
     */
    public static BufferedImage decode(byte[] bytes) throws IOException {
        ImageHeader header = header(bytes);
        byte[] picture = header.decodable(bytes);
        try (BytePointer data = new BytePointer(picture);
                Mat encoded = new Mat(1, picture.length, opencv_core.CV_8UC1, data);
                Mat stored = opencv_imgcodecs.imdecode(
                        encoded, opencv_imgcodecs.IMREAD_COLOR | opencv_imgcodecs.IMREAD_IGNORE_ORIENTATION)) {
            if (stored.empty()) {
                throw new IOException("%d bytes (expected: a JPEG or PNG picture)".formatted(bytes.length));
            }
            return upright(stored, header.orientation());
        } catch (RuntimeException e) { // OpenCV's own
            throw new IOException(
                    "the picture cannot be decoded: %s (expected: a whole JPEG or PNG)".formatted(e.getMessage()), e);
        }
    }

    /** A decoded picture as people see it, in {@link BufferedImage#TYPE_3BYTE_BGR}; its buffer is given back. */
    public static BufferedImage upright(Picture picture) {
        try (BytePointer rgb = new BytePointer(picture.rgb());
                Mat stored = new Mat(picture.height(), picture.width(), opencv_core.CV_8UC3, rgb)) {
            return uprightRgb(stored, picture.orientation());
        } finally {
            picture.release().run();
        }
    }

    /** As {@link #upright(Mat, int)}, of pixels that have red first. */
    static BufferedImage uprightRgb(Mat stored, int orientation) {
        BufferedImage image = upright(stored, orientation);
        byte[] bytes = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
        for (int i = 0; i < bytes.length; i += 3) {
            byte red = bytes[i];
            bytes[i] = bytes[i + 2];
            bytes[i + 2] = red;
        }
        return image;
    }

    /**
     * Turns pixels as they are stored into a picture as people see it.
     *
     * @param stored of three bytes each: blue, green, red
     * @param orientation of EXIF, 1 to 8
     * @return a picture of {@link BufferedImage#TYPE_3BYTE_BGR}
     */
    private static BufferedImage upright(Mat stored, int orientation) {
        try (Mat upright = new Mat()) {
            Mat turned = stored;
            if (orientation >= 5) {
                opencv_core.transpose(stored, upright);
                turned = upright;
            }
            switch (orientation) {
                case 2, 6 -> opencv_core.flip(turned, upright, 1); // left to right
                case 4, 8 -> opencv_core.flip(turned, upright, 0); // top to bottom
                case 3, 7 -> opencv_core.flip(turned, upright, -1); // both
                default -> {}
            }
            Mat pixels = orientation == 1 ? stored : upright;
            BufferedImage image = new BufferedImage(pixels.cols(), pixels.rows(), BufferedImage.TYPE_3BYTE_BGR);
            byte[] bytes = ((DataBufferByte) image.getRaster().getDataBuffer()).getData();
            int rowBytes = 3 * pixels.cols();
            for (int y = 0; y < pixels.rows(); y++) { // FFmpeg's rows have gaps
                pixels.ptr(y).get(bytes, y * rowBytes, rowBytes);
            }
            return image;
        }
    }
}
