package io.upliftstream.tools.bench;

import java.util.List;
import java.util.Locale;

/**
 * What {@code uplift bench codecs} found; times are medians of one thread.
 *
 * @param processors of the machine
 * @param source of the frames, in words
 * @param model name and version of the bundle whose outputs were encoded
 * @param frames that were decoded, inferred and encoded
 */
public record CodecReport(
        int processors,
        String source,
        String model,
        int frames,
        Decoding decoding,
        List<Masks> masks,
        List<Features> features) {

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
     * One encoding of the model's labels, repeated or cut to the size of the input.
     *
     * @param kilobytes of a mask, the mean
     */
    public record Masks(
            String encoding, String size, double kilobytes, double encodedPerSecond, double decodedPerSecond) {}

    /**
     * One encoding of the model's features.
     *
     * @param shape channels x height x width
     * @param kilobytes of a frame's, the mean
     * @param cosine between features before and after, the mean over all cells
     * @param lowestCosine of any cell
     */
    public record Features(
            String head,
            String shape,
            int stride,
            String encoding,
            double kilobytes,
            double cosine,
            double lowestCosine,
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
        for (Masks mask : masks) {
            text.append(String.format(
                    Locale.ROOT,
                    "mask %s %-8s %6.1f KB, %5.0f/s encoded, %5.0f/s decoded%n",
                    mask.size,
                    mask.encoding,
                    mask.kilobytes,
                    mask.encodedPerSecond,
                    mask.decodedPerSecond));
        }
        for (Features feature : features) {
            text.append(String.format(
                    Locale.ROOT,
                    "%s %s, stride %d, %-15s %6.1f KB, cosine %.5f, at least %.4f, %5.0f/s encoded, %5.0f/s decoded%n",
                    feature.head,
                    feature.shape,
                    feature.stride,
                    feature.encoding,
                    feature.kilobytes,
                    feature.cosine,
                    feature.lowestCosine,
                    feature.encodedPerSecond,
                    feature.decodedPerSecond));
        }
        return text.toString().stripTrailing();
    }
}
