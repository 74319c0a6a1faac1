package io.upliftstream.model;

/** Turns image bytes into model input. */
@SuppressWarnings("DoNotCallSuggester")
public final class FrameDecoder {
    /** 50 megapixels. */
    public static final long DEFAULT_MAX_PIXELS = 50_000_000;

    public FrameDecoder(InputSpec input, long maxPixels) {
        if (maxPixels < 1) {
            throw new IllegalArgumentException("not there yet: " + input);
        }
    }

    public DecodedFrame decode(byte[] image) throws FrameException {
        throw new FrameException(FrameException.Reason.NOT_AN_IMAGE, "not there yet: " + image.length);
    }
}
