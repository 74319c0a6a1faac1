package io.upliftstream.model;

import com.sun.jna.Memory;
import io.upliftstream.model.BilinearResize.Area;
import io.upliftstream.model.FrameException.Reason;
import java.nio.ByteBuffer;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.opencv.global.opencv_core;
import org.bytedeco.opencv.global.opencv_imgcodecs;
import org.bytedeco.opencv.opencv_core.Mat;
import org.jspecify.annotations.Nullable;

/**
 * Turns a JPEG or PNG of any size into the model's input: decoded by OpenCV or {@link TurboJpeg}, turned upright (EXIF),
 * fitted as the bundle asks, in RGB. Grey, CMYK, 16-bit and transparent images are brought to 8-bit RGB; transparency is
 * dropped.
 *
 * <p>The {@link ImageHeader} is read first, so an image that is too large is refused before a pixel is allocated. A JPEG much larger
 * than the input is decoded at a half, a quarter or an eighth of its size, which the JPEG transform gives for less than
 * the full image; the rest of the way is {@link BilinearResize}.
 *
 * <p>May be used by several threads.
 */
public final class FrameDecoder {
    /** The pixels that an image may have where nobody says otherwise: 50 megapixels. */
    public static final long DEFAULT_MAX_PIXELS = 50_000_000;

    /** Reduced sizes are sharper than the resize that models are trained with, unless it has this much left to do. */
    private static final int REDUCING_GAP = 2;

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

    /**
     * Loads the native libraries, too.
     *
     * @param maxPixels of an image as its header states them
     */
    public FrameDecoder(InputSpec input, long maxPixels) {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("pixel limit: " + maxPixels + " (expected: >= 1)");
        }
        this.input = input;
        this.maxPixels = maxPixels;
        // Seconds on a busy machine, which would count against the time that the first images have.
        Loader.load(opencv_imgcodecs.class);
        TurboJpeg.isInstalled();
    }

    /**
     * Decodes one image.
     *
     * @throws FrameException EMPTY, NOT_AN_IMAGE, CORRUPT_IMAGE or TOO_LARGE
     */
    public DecodedFrame decode(byte[] image) throws FrameException {
        ImageHeader header = ImageHeader.read(image, maxPixels);
        Placed placed = place(header.width(), header.height(), header.sideways());
        return new DecodedFrame(decode(image, header, placed.area()), placed.transform());
    }

    /**
     * Fits a picture that was decoded elsewhere.
     *
     * @throws FrameException TOO_LARGE
     */
    public DecodedFrame fit(Picture picture) throws FrameException {
        if ((long) picture.width() * picture.height() > maxPixels) {
            throw new FrameException(
                    Reason.TOO_LARGE,
                    "the picture has %d x %d pixels (expected: <= %d together)"
                            .formatted(picture.width(), picture.height(), maxPixels));
        }
        Placed placed = place(picture.width(), picture.height(), picture.orientation() >= 5);
        ByteBuffer rgb = fit(
                picture.rgb(),
                picture.width(),
                picture.height(),
                picture.width(),
                picture.height(),
                picture.orientation(),
                placed.area());
        return new DecodedFrame(rgb, placed.transform());
    }

    /** Where an image lies on the model's input, and how one leads to the other. */
    private record Placed(Area area, FrameTransform transform) {}

    private Placed place(int storedWidth, int storedHeight, boolean sideways) {
        int frameWidth = sideways ? storedHeight : storedWidth;
        int frameHeight = sideways ? storedWidth : storedHeight;
        int width = input.width();
        int height = input.height();
        if (input.fit() == Fit.LETTERBOX) {
            double scale = Math.min((double) width / frameWidth, (double) height / frameHeight);
            width = Math.max(1, (int) Math.round(frameWidth * scale));
            height = Math.max(1, (int) Math.round(frameHeight * scale));
        }
        int left = (input.width() - width) / 2;
        int top = (input.height() - height) / 2;
        double scaleX = (double) frameWidth / width;
        double scaleY = (double) frameHeight / height;
        return new Placed(
                new Area(left, top, width, height),
                new FrameTransform(frameWidth, frameHeight, scaleX, scaleY, -left * scaleX, -top * scaleY));
    }

    /** Takes back the buffer of a frame that nobody reads any more, to decode another into it. Optional. */
    public void recycle(DecodedFrame frame) {
        if (frame.rgb().isDirect() && frame.rgb().capacity() == input.frameBytes()) {
            spare.offer(frame.rgb());
        }
    }

    /** Decodes the image to an area of the model's input: u8[H, W, 3] in RGB. */
    private ByteBuffer decode(byte[] image, ImageHeader header, Area area) throws FrameException {
        int reduction = header.jpeg() ? reduction(header, area) : 1;
        byte[] decodable = header.decodable(image);
        if (header.jpeg()) {
            try (Memory pixels = TurboJpeg.decode(decodable, header.width(), header.height(), reduction)) {
                if (pixels != null) {
                    return fit(pixels.getByteBuffer(0, pixels.size()), header, reduction, area);
                }
            }
            String loss = JpegDamage.of(decodable, header);
            if (loss != null) {
                throw JpegDamage.exception(loss);
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
        try (BytePointer bytes = new BytePointer(decodable);
                Mat encoded = new Mat(1, decodable.length, opencv_core.CV_8UC1, bytes);
                Mat rgb = imdecode(encoded, flags)) {
            if (rgb == null || rgb.empty()) {
                String reason = header.jpeg() ? JpegDamage.reason(decodable, header) : header.pngFault(decodable);
                throw new FrameException(
                        Reason.CORRUPT_IMAGE,
                        "the image's pixels cannot be decoded%s (expected: a whole JPEG or PNG)"
                                .formatted(reason == null ? "" : ": " + reason));
            }
            if (rgb.cols() == header.width() && rgb.rows() == header.height()) {
                reduction = 1; // a lossless JPEG has no smaller sizes
            }
            int storedWidth = (header.width() + reduction - 1) / reduction;
            int storedHeight = (header.height() + reduction - 1) / reduction;
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

    /** Fits pixels that were decoded at a fraction of their size. */
    private ByteBuffer fit(ByteBuffer pixels, ImageHeader header, int reduction, Area area) {
        return fit(
                pixels,
                (header.width() + reduction - 1) / reduction,
                (header.height() + reduction - 1) / reduction,
                (double) header.width() / reduction,
                (double) header.height() / reduction,
                header.orientation(),
                area);
    }

    /** Fits pixels into a buffer that may have been used before. */
    private ByteBuffer fit(
            ByteBuffer pixels, int width, int height, double extentX, double extentY, int orientation, Area area) {
        ByteBuffer frame = spare.poll();
        if (frame == null) {
            frame = ByteBuffer.allocateDirect(input.frameBytes());
        }
        BilinearResize.resize(
                pixels, width, height, extentX, extentY, orientation, area, frame, input.width(), input.height());
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

    /**
     * The strongest reduction that leaves the resize the last factor of {@value #REDUCING_GAP}.
     *
     * <p>The source of the factor is Pillow's {@code Image.thumbnail}.
     */
    private static int reduction(ImageHeader header, Area area) {
        int across = REDUCING_GAP * (header.sideways() ? area.height() : area.width());
        int down = REDUCING_GAP * (header.sideways() ? area.width() : area.height());
        int reduction = 8;
        while (reduction > 1 && (header.width() < reduction * across || header.height() < reduction * down)) {
            reduction /= 2;
        }
        return reduction;
    }
}
