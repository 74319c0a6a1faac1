package io.upliftstream.tools.camera;

import java.awt.Dimension;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Iterator;
import java.util.Objects;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.ImageOutputStream;
import org.bytedeco.javacpp.BytePointer;
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
     * @throws IOException if it has none
     */
    public static Dimension size(byte[] bytes) throws IOException {
        try (ImageInputStream in =
                Objects.requireNonNull(ImageIO.createImageInputStream(new ByteArrayInputStream(bytes)))) {
            Iterator<ImageReader> readers = ImageIO.getImageReaders(in);
            if (!readers.hasNext()) {
                throw new IOException("%d bytes (expected: a JPEG or PNG picture)".formatted(bytes.length));
            }
            ImageReader reader = readers.next();
            try {
                reader.setInput(in, true, true);
                return new Dimension(reader.getWidth(0), reader.getHeight(0));
            } catch (RuntimeException e) { // damaged headers make the readers throw nearly anything
                throw new IOException("%d bytes (expected: the header of a JPEG or PNG)".formatted(bytes.length), e);
            } finally {
                reader.dispose();
            }
        }
    }

    /**
     * Decodes a JPEG or PNG as people see it: EXIF orientation applied, three colours.
     *
     * @return a picture of {@link BufferedImage#TYPE_3BYTE_BGR}
     * @throws IOException if the bytes are not a whole picture
     */
    public static BufferedImage decode(byte[] bytes) throws IOException {
        try (BytePointer data = new BytePointer(bytes);
                Mat encoded = new Mat(1, bytes.length, org.bytedeco.opencv.global.opencv_core.CV_8UC1, data);
                Mat pixels = opencv_imgcodecs.imdecode(encoded, opencv_imgcodecs.IMREAD_COLOR)) {
            if (pixels.empty()) {
                throw new IOException("%d bytes (expected: a JPEG or PNG picture)".formatted(bytes.length));
            }
            BufferedImage image = new BufferedImage(pixels.cols(), pixels.rows(), BufferedImage.TYPE_3BYTE_BGR);
            pixels.data().get(((DataBufferByte) image.getRaster().getDataBuffer()).getData());
            return image;
        }
    }
}
