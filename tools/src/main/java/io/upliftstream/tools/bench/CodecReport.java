package io.upliftstream.tools.bench;

import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What {@code uplift bench codecs} found; times are medians of one thread.
 *
 * @param processors of the machine
 * @param source of the frames, in words
 * @param model name and version of the bundle whose outputs were encoded
 * @param frames that were decoded, inferred and encoded
 */
public record CodecReport(
        int processors, String source, String model, int frames, Decoding decoding, List<Encoding> encodings) {

    /**
     * Compressed frames to the model's RGB.
     *
     * @param frame size of a frame, width x height
     * @param input size of the model's input, width x height
     * @param kilobytes of a frame, the mean
     * @param millis by the product's decoder, antialiased
     * @param imageIoMillis by ImageIO and a bilinear {@code Graphics2D.drawImage}
     * @param times how many times as fast the first is
     */
    public record Decoding(
            String frame, String input, double kilobytes, double millis, double imageIoMillis, double times) {}

    /**
     * One encoding of the model's labels or of a head's features.
     *
     * @param payload what was encoded: labels, repeated or cut to the size of the input, or a head's features
     * @param kilobytes of a frame's, the mean
     * @param cosine between features before and after, the mean over all cells; null for labels, which come back as they were
     * @param lowestCosine of any cell
     */
    public record Encoding(
            String payload,
            String encoding,
            double kilobytes,
            @Nullable Double cosine,
            @Nullable Double lowestCosine,
            double encodedPerSecond,
            double decodedPerSecond) {}

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        text.append(String.format(
                Locale.ROOT,
                "JPEG %s (%.0f KB) to %s: %.2f ms; ImageIO and a plain resize %.2f ms: %.2f times as fast%n",
                decoding.frame,
                decoding.kilobytes,
                decoding.input,
                decoding.millis,
                decoding.imageIoMillis,
                decoding.times));
        for (Encoding encoding : encodings) {
            text.append(String.format(
                    Locale.ROOT,
                    "%s, %-13s %6.1f KB, %5.0f/s encoded, %5.0f/s decoded%s%n",
                    encoding.payload,
                    encoding.encoding,
                    encoding.kilobytes,
                    encoding.encodedPerSecond,
                    encoding.decodedPerSecond,
                    encoding.cosine == null
                            ? ""
                            : String.format(
                                    Locale.ROOT,
                                    ", cosine %.5f, at least %.4f",
                                    encoding.cosine,
                                    encoding.lowestCosine)));
        }
        return text.toString().stripTrailing();
    }
}
