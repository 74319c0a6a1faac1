package io.upliftstream.model;

import io.upliftstream.model.FrameException.Reason;
import java.awt.Rectangle;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import javax.imageio.ImageReadParam;
import javax.imageio.ImageReader;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.jspecify.annotations.Nullable;

/**
 * What a decoder has to say against a JPEG, and whether that means that pixels are not those of the camera.
 *
 * <p>{@link TurboJpeg} hands on the warnings of libjpeg; OpenCV writes them to the process's standard error. Where OpenCV
 * decodes, {@link JpegScan} looks for a suspicion, and only then the JDK's own libjpeg is asked. It takes as long again as
 * OpenCV, and four times as long for a progressive JPEG, of which it makes the pixels after every scan.
 */
final class JpegDamage {
    private static final Pattern LOST = Pattern.compile("Corrupt JPEG data: (?!bad ICC).*|Inconsistent progression.*");
    private static final Pattern EXTRANEOUS = Pattern.compile(".* (\\d+) extraneous bytes before marker 0x(..)");
    /** The markers behind the data of a scan: a restart, the next scan or its tables, the image's end. */
    private static final Pattern BEHIND_DATA = Pattern.compile("d[0-79a]|c4");

    /** Pixels, times scans, that the JDK's decoder is given at most: 1080p in 10 scans took 58 ms. */
    private static final long MAX_WORK = 128_000_000;

    private JpegDamage() {}

    /** Whether libjpeg warns of lost pixels, or of what a decoder can pass over: bytes before a marker, an odd profile. */
    static boolean isLoss(String warning) {
        Matcher extraneous = EXTRANEOUS.matcher(warning);
        if (extraneous.matches()) {
            return extraneous.group(1).length() > 9
                    || (Integer.parseInt(extraneous.group(1)) > JpegScan.PADDING
                            && BEHIND_DATA.matcher(extraneous.group(2)).matches());
        }
        return LOST.matcher(warning).matches();
    }

    /**
     * What of a JPEG is lost by the word of the JDK's decoder, null for nothing, or if it does not read such or would take
     * too long.
     *
     * @param jpeg that {@link ImageHeader} has read, with an end-of-image marker
     */
    static @Nullable String of(byte[] jpeg, ImageHeader header) {
        if (!JpegScan.isSuspect(jpeg) || takesTooLong(jpeg, header)) {
            return null;
        }
        AtomicReference<String> loss = new AtomicReference<>();
        try {
            read(jpeg, header, warning -> {
                if (isLoss(warning)) {
                    loss.compareAndSet(null, warning);
                }
            });
        } catch (IOException e) { // another decoder may read it
            return null;
        }
        return loss.get();
    }

    static FrameException exception(String warning) {
        return new FrameException(
                Reason.CORRUPT_IMAGE, "the JPEG's decoder says: %s (expected: a whole JPEG)".formatted(warning));
    }

    /** Why the JDK's decoder does not read a JPEG, null if it does or would take too long. */
    static @Nullable String reason(byte[] jpeg, ImageHeader header) {
        if (takesTooLong(jpeg, header)) {
            return null;
        }
        try {
            read(jpeg, header, warning -> {});
            return null;
        } catch (IOException e) {
            return e.getMessage();
        }
    }

    private static boolean takesTooLong(byte[] jpeg, ImageHeader header) {
        long scans = 0;
        for (int i = 0; i < jpeg.length - 1; i++) {
            if (jpeg[i] == (byte) 0xff && jpeg[i + 1] == (byte) 0xda) {
                scans++;
            }
        }
        return scans * header.width() * header.height() > MAX_WORK;
    }

    /** Decodes all and keeps the last row only. */
    private static void read(byte[] jpeg, ImageHeader header, Consumer<String> warnings) throws IOException {
        ImageReader reader = ImageIO.getImageReadersByFormatName("jpeg").next();
        try {
            reader.addIIOReadWarningListener((source, warning) -> warnings.accept(warning));
            reader.setInput(new MemoryCacheImageInputStream(new ByteArrayInputStream(jpeg)), true, true);
            ImageReadParam lastRow = reader.getDefaultReadParam();
            lastRow.setSourceRegion(new Rectangle(0, header.height() - 1, header.width(), 1));
            reader.readRaster(0, lastRow);
        } catch (RuntimeException e) { // of a damaged header
            throw new IOException(e.toString(), e);
        } finally {
            reader.dispose();
        }
    }
}
