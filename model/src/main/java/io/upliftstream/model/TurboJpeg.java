package io.upliftstream.model;

import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.NativeLong;
import com.sun.jna.Pointer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The system's libjpeg-turbo (Debian: {@code libturbojpeg0}), where it is installed: the decoder that OpenCV uses as well,
 * but with SIMD, which the one inside OpenCV's natives is built without. Its pixels are the same.
 */
final class TurboJpeg {
    private static final Logger LOG = LoggerFactory.getLogger(TurboJpeg.class);
    /** TJPF_RGB, a pixel format of turbojpeg.h. */
    private static final int RGB = 0;
    /** TJERR_WARNING: there are pixels, and something was wrong. */
    private static final int WARNING = 0;

    private static final @Nullable NativeLibrary LIBRARY = load("turbojpeg");

    private TurboJpeg() {}

    /** The library of that name, null if it is not there or does not load. */
    static @Nullable NativeLibrary load(String name) {
        try {
            NativeLibrary library = NativeLibrary.getInstance(name);
            library.getFunction("tjGetErrorCode"); // not in those before 2.0 (2018)
            LOG.info("JPEGs are decoded by {}", library.getFile());
            return library;
        } catch (UnsatisfiedLinkError e) {
            LOG.info("JPEGs are decoded by OpenCV; libturbojpeg, if it were installed, would be twice as fast");
            return null;
        }
    }

    static boolean isInstalled() {
        return LIBRARY != null;
    }

    /**
     * Decodes a JPEG at a fraction of its size.
     *
     * @param width of the JPEG in pixels
     * @param height of the JPEG in pixels
     * @param reduction 1, 2, 4 or 8; sides are rounded up
     * @return u8[h, w, 3] in RGB, for the caller to close; null if the library is not there or cannot decode it, in which
     *     case somebody else may look
     * @throws FrameException CORRUPT_IMAGE if it decodes with a warning of lost pixels
     */
    static @Nullable Memory decode(byte[] jpeg, int width, int height, int reduction) throws FrameException {
        if (LIBRARY == null) {
            return null;
        }
        int columns = (width + reduction - 1) / reduction;
        int rows = (height + reduction - 1) / reduction;
        NativeLong length = new NativeLong(jpeg.length);
        int[] sizes = new int[4];
        Pointer decompressor = LIBRARY.getFunction("tjInitDecompress").invokePointer(new Object[0]);
        Memory pixels = null;
        try (Memory bytes = new Memory(jpeg.length);
                Memory header = new Memory(4L * Integer.BYTES)) {
            bytes.write(0, jpeg, 0, jpeg.length);
            int failed = LIBRARY.getFunction("tjDecompressHeader3").invokeInt(new Object[] {
                decompressor, bytes, length, header, header.share(4), header.share(8), header.share(12)
            });
            header.read(0, sizes, 0, sizes.length);
            if (failed != 0 || sizes[0] != width || sizes[1] != height) {
                return null;
            }
            pixels = new Memory(3L * columns * rows);
            failed = LIBRARY.getFunction("tjDecompress2")
                    .invokeInt(new Object[] {decompressor, bytes, length, pixels, columns, 3 * columns, rows, RGB, 0});
            if (failed == 0) {
                return pixels;
            }
            boolean warned = LIBRARY.getFunction("tjGetErrorCode").invokeInt(new Object[] {decompressor}) == WARNING;
            String said = LIBRARY.getFunction("tjGetErrorStr2").invokeString(new Object[] {decompressor}, false);
            if (warned && !JpegDamage.isLoss(said)) {
                return pixels;
            }
            pixels.close();
            if (warned) {
                throw JpegDamage.exception(said);
            }
            return null;
        } finally {
            LIBRARY.getFunction("tjDestroy").invokeInt(new Object[] {decompressor});
        }
    }
}
