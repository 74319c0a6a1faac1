package io.upliftstream.model;

import com.drew.imaging.FileType;
import com.drew.imaging.FileTypeDetector;
import com.drew.imaging.jpeg.JpegMetadataReader;
import com.drew.imaging.jpeg.JpegProcessingException;
import com.drew.imaging.png.PngChunk;
import com.drew.imaging.png.PngChunkReader;
import com.drew.imaging.png.PngChunkType;
import com.drew.imaging.png.PngHeader;
import com.drew.imaging.png.PngProcessingException;
import com.drew.lang.ByteArrayReader;
import com.drew.lang.SequentialByteArrayReader;
import com.drew.metadata.Metadata;
import com.drew.metadata.MetadataException;
import com.drew.metadata.exif.ExifIFD0Directory;
import com.drew.metadata.exif.ExifReader;
import com.drew.metadata.jpeg.JpegDirectory;
import com.drew.metadata.jpeg.JpegReader;
import com.sun.jna.Memory;
import io.upliftstream.model.BilinearResize.Area;
import io.upliftstream.model.FrameException.Reason;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;
import org.jspecify.annotations.Nullable;

/**
 * Turns a JPEG or PNG of any size into the model's input: decoded by OpenCV or {@link TurboJpeg}, turned upright (EXIF),
 * fitted as the bundle asks, in RGB. Grey, CMYK, 16-bit and transparent images are brought to 8-bit RGB; transparency is
 * dropped.
 *
 * <p>The header is read first, so an image that is too large is refused before a pixel is allocated. A JPEG much larger
 * than the input is decoded at a half, a quarter or an eighth of its size, which the JPEG transform gives for less than
 * the full image; the rest of the way is {@link BilinearResize}.
 *
 * <p>May be used by several threads.
 */
public final class FrameDecoder {
    /** The pixels that an image may have where nobody says otherwise: 50 megapixels. */
    public static final long DEFAULT_MAX_PIXELS = 50_000_000;
    /** The pixels that either side of an image may have. */
    static final int MAX_SIDE = 32_768;

    private static final int PNG_SIGNATURE = 8;
    /** Bytes of a PNG chunk beside its content: length, type, checksum. */
    private static final int PNG_CHUNK = 12;
    /** The bit that is set in the type of a PNG chunk that a decoder may skip. */
    private static final int PNG_ANCILLARY = 0x20000000;

    private static final int PNG_IEND = 0x49454e44;

    static {
        // Otherwise JavaCPP takes all native memory of the process, PyTorch's too, for its own and stops at 4 x -Xmx.
        if (System.getProperty("org.bytedeco.javacpp.maxPhysicalBytes") == null) {
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0");
        }
    }

    private final InputSpec input;
    private final long maxPixels;
    /** Buffers to use again: a direct buffer costs more to make than to fill. */
    private final BlockingQueue<ByteBuffer> spare = new ArrayBlockingQueue<>(64);

    /** What the header says: the size as stored, and the EXIF orientation (1 to 8) that turns it upright. */
    private record Header(boolean jpeg, int width, int height, int orientation) {
        boolean sideways() {
            return orientation >= 5;
        }
    }

    /**
     * @param maxPixels of an image as its header states them
     */
    public FrameDecoder(InputSpec input, long maxPixels) {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("pixel limit: " + maxPixels + " (expected: >= 1)");
        }
        this.input = input;
        this.maxPixels = maxPixels;
    }

    /**
     * Decodes one image.
     *
     * @throws FrameException EMPTY, NOT_AN_IMAGE, CORRUPT_IMAGE or TOO_LARGE
     */
    public DecodedFrame decode(byte[] image) throws FrameException {
        Header header = header(image);
        int frameWidth = header.sideways() ? header.height() : header.width();
        int frameHeight = header.sideways() ? header.width() : header.height();
        int width = input.width();
        int height = input.height();
        if (input.fit() == Fit.LETTERBOX) {
            double scale = Math.min((double) width / frameWidth, (double) height / frameHeight);
            width = Math.max(1, (int) Math.round(frameWidth * scale));
            height = Math.max(1, (int) Math.round(frameHeight * scale));
        }
        int left = (input.width() - width) / 2;
        int top = (input.height() - height) / 2;

        ByteBuffer rgb = decode(image, header, new Area(left, top, width, height));

        double scaleX = (double) frameWidth / width;
        double scaleY = (double) frameHeight / height;
        return new DecodedFrame(
                rgb, new FrameTransform(frameWidth, frameHeight, scaleX, scaleY, -left * scaleX, -top * scaleY));
    }

    /** Takes back the buffer of a frame that nobody reads any more, to decode another into it. Optional. */
    public void recycle(DecodedFrame frame) {
        if (frame.rgb().isDirect() && frame.rgb().capacity() == input.frameBytes()) {
            spare.offer(frame.rgb());
        }
    }

    private Header header(byte[] image) throws FrameException {
        if (image.length == 0) {
            throw new FrameException(Reason.EMPTY, "the image has no bytes (expected: a JPEG or PNG)");
        }
        Header header;
        try {
            FileType type = FileTypeDetector.detectFileType(new ByteArrayInputStream(image));
            header = switch (type) {
                case Jpeg -> jpegHeader(image);
                case Png -> pngHeader(image);
                case Unknown ->
                    throw new FrameException(
                            Reason.NOT_AN_IMAGE,
                            "%d bytes of unknown format (expected: a JPEG or PNG)".formatted(image.length));
                default ->
                    throw new FrameException(
                            Reason.NOT_AN_IMAGE, "the image is %s (expected: JPEG or PNG)".formatted(type.getName()));
            };
        } catch (IOException
                | JpegProcessingException
                | PngProcessingException
                | MetadataException
                | RuntimeException e) {
            throw new FrameException(
                    Reason.CORRUPT_IMAGE,
                    "the image's header cannot be read: %s (expected: a whole JPEG or PNG)".formatted(e.getMessage()),
                    e);
        }
        if (header.width() < 1 || header.height() < 1) {
            throw new FrameException(
                    Reason.CORRUPT_IMAGE,
                    "the image has %d x %d pixels (expected: at least 1 x 1)"
                            .formatted(header.width(), header.height()));
        }
        if ((long) header.width() * header.height() > maxPixels
                || Math.max(header.width(), header.height()) > MAX_SIDE) {
            throw new FrameException(
                    Reason.TOO_LARGE,
                    "the image has %d x %d pixels (expected: at most %d pixels, and %d on a side)"
                            .formatted(header.width(), header.height(), maxPixels, MAX_SIDE));
        }
        return header;
    }

    private static Header jpegHeader(byte[] jpeg)
            throws IOException, JpegProcessingException, MetadataException, FrameException {
        Metadata metadata = JpegMetadataReader.readMetadata(
                new ByteArrayInputStream(jpeg), List.of(new JpegReader(), new ExifReader()));
        JpegDirectory size = metadata.getFirstDirectoryOfType(JpegDirectory.class);
        if (size == null) {
            throw new FrameException(
                    Reason.CORRUPT_IMAGE, "the JPEG has no frame header (expected: one before its scan)");
        }
        return new Header(true, size.getImageWidth(), size.getImageHeight(), orientation(metadata));
    }

    private static Header pngHeader(byte[] png) throws IOException, PngProcessingException, FrameException {
        Metadata metadata = new Metadata();
        PngHeader size = null;
        // Reads up to the IEND chunk: a truncated file ends before it with an exception.
        for (PngChunk chunk : new PngChunkReader()
                .extract(new SequentialByteArrayReader(png), Set.of(PngChunkType.IHDR, PngChunkType.eXIf))) {
            if (chunk.getType().equals(PngChunkType.IHDR)) {
                size = new PngHeader(chunk.getBytes());
            } else {
                new ExifReader().extract(new ByteArrayReader(chunk.getBytes()), metadata);
            }
        }
        if (size == null) {
            throw new FrameException(Reason.CORRUPT_IMAGE, "the PNG has no IHDR chunk (expected: one at its start)");
        }
        return new Header(false, size.getImageWidth(), size.getImageHeight(), orientation(metadata));
    }

    private static int orientation(Metadata metadata) {
        ExifIFD0Directory exif = metadata.getFirstDirectoryOfType(ExifIFD0Directory.class);
        Integer orientation = exif == null ? null : exif.getInteger(ExifIFD0Directory.TAG_ORIENTATION);
        return orientation == null || orientation < 1 || orientation > 8 ? 1 : orientation;
    }

    /**
     * Whether a JPEG has its end-of-image marker. Inside a scan a byte FF is always followed by 00 or a restart marker,
     * so the bytes of a scan can be stepped over without decoding them.
     */
    private static boolean endsAsItShould(byte[] jpeg) {
        int i = 2;
        while (i + 1 < jpeg.length) {
            if (jpeg[i] != (byte) 0xff) { // nearly all bytes of a scan
                i++;
                continue;
            }
            int marker = jpeg[i + 1] & 0xff;
            if (marker == 0xff) {
                i++;
            } else if (marker == 0xd9) {
                return true;
            } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { // these have no length
                i += 2;
            } else if (i + 3 < jpeg.length) {
                i += 2 + ((jpeg[i + 2] & 0xff) << 8 | (jpeg[i + 3] & 0xff));
            } else {
                return false;
            }
        }
        return false;
    }

    /**
     * A PNG up to its IEND, without its ancillary chunks (those whose type begins with a lower-case letter; PNG
     * specification, 5.4). OpenCV reads on behind an IEND without pixels, reserves what a chunk claims to hold before it
     * looks whether the chunk is there, and takes animations apart: from 500 bytes that made seconds and gigabytes.
     */
    private static byte[] criticalChunks(byte[] png) throws FrameException {
        ByteBuffer chunks = ByteBuffer.wrap(png);
        ByteBuffer critical = ByteBuffer.allocate(png.length).put(png, 0, PNG_SIGNATURE);
        int at = PNG_SIGNATURE;
        while (at <= png.length - PNG_CHUNK) {
            int length = chunks.getInt(at);
            int type = chunks.getInt(at + 4);
            if (length < 0 || length > png.length - PNG_CHUNK - at) {
                break;
            }
            if ((type & PNG_ANCILLARY) == 0) {
                critical.put(png, at, PNG_CHUNK + length);
            }
            if (type == PNG_IEND) {
                return Arrays.copyOf(critical.array(), critical.position());
            }
            at += PNG_CHUNK + length;
        }
        throw new FrameException(
                Reason.CORRUPT_IMAGE,
                "the PNG is truncated after %d bytes (expected: an IEND chunk)".formatted(png.length));
    }

    /** Decodes the image to an area of the model's input: u8[H, W, 3] in RGB. */
    private ByteBuffer decode(byte[] image, Header header, Area area) throws FrameException {
        if (header.jpeg() && !endsAsItShould(image)) {
            throw new FrameException(
                    Reason.CORRUPT_IMAGE,
                    "the JPEG is truncated after %d bytes (expected: an end-of-image marker)".formatted(image.length));
        }
        int reduction = header.jpeg() ? reduction(header, area) : 1;
        int storedWidth = (header.width() + reduction - 1) / reduction;
        int storedHeight = (header.height() + reduction - 1) / reduction;
        try (Memory pixels =
                header.jpeg() ? TurboJpeg.decode(image, header.width(), header.height(), reduction) : null) {
            if (pixels != null) {
                return fit(pixels.getByteBuffer(0, pixels.size()), header, reduction, area);
            }
        }
        int reduced = // the names say grey, but these are the bits of the reduction alone
                switch (reduction) {
                    case 8 -> opencv_imgcodecs.IMREAD_REDUCED_GRAYSCALE_8;
                    case 4 -> opencv_imgcodecs.IMREAD_REDUCED_GRAYSCALE_4;
                    case 2 -> opencv_imgcodecs.IMREAD_REDUCED_GRAYSCALE_2;
                    default -> 0;
                };
        int flags = reduced | opencv_imgcodecs.IMREAD_COLOR_RGB | opencv_imgcodecs.IMREAD_IGNORE_ORIENTATION;
        byte[] pixelsOnly = header.jpeg() ? image : criticalChunks(image);
        try (BytePointer bytes = new BytePointer(pixelsOnly);
                Mat encoded = new Mat(1, pixelsOnly.length, opencv_core.CV_8UC1, bytes);
                Mat rgb = imdecode(encoded, flags)) {
            if (rgb == null || rgb.empty()) {
                throw new FrameException(
                        Reason.CORRUPT_IMAGE, "the image's pixels cannot be decoded (expected: a whole JPEG or PNG)");
            }
            if (rgb.cols() != storedWidth || rgb.rows() != storedHeight || rgb.type() != opencv_core.CV_8UC3) {
                throw new FrameException(
                        Reason.CORRUPT_IMAGE,
                        "the image decodes to %d x %d pixels (expected: %d x %d as in its header)"
                                .formatted(rgb.cols(), rgb.rows(), storedWidth, storedHeight));
            }
            ByteBuffer pixels =
                    rgb.data().capacity(3L * storedWidth * storedHeight).asByteBuffer();
            return fit(pixels, header, reduction, area);
        }
    }

    /** Fits pixels that were decoded at a fraction of their size into a buffer that may have been used before. */
    private ByteBuffer fit(ByteBuffer pixels, Header header, int reduction, Area area) {
        ByteBuffer frame = spare.poll();
        if (frame == null) {
            frame = ByteBuffer.allocateDirect(input.frameBytes());
        }
        BilinearResize.resize(
                pixels,
                (header.width() + reduction - 1) / reduction,
                (header.height() + reduction - 1) / reduction,
                (double) header.width() / reduction,
                (double) header.height() / reduction,
                header.orientation(),
                area,
                frame,
                input.width(),
                input.height());
        return frame.clear();
    }

    private static @Nullable Mat imdecode(Mat encoded, int flags) throws FrameException {
        try {
            return opencv_imgcodecs.imdecode(encoded, flags);
        } catch (RuntimeException e) {
            throw new FrameException(
                    Reason.CORRUPT_IMAGE,
                    "the image's pixels cannot be decoded: %s (expected: a whole JPEG or PNG)"
                            .formatted(e.getMessage()),
                    e);
        }
    }

    /** The strongest reduction whose result is, upright, not smaller than the area. */
    private static int reduction(Header header, Area area) {
        int across = header.sideways() ? area.height() : area.width();
        int down = header.sideways() ? area.width() : area.height();
        int reduction = 8;
        while (reduction > 1 && (header.width() < reduction * across || header.height() < reduction * down)) {
            reduction /= 2;
        }
        return reduction;
    }
}
