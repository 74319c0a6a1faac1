package io.upliftstream.model;

/** How a frame of any size is brought to the model's input size. */
public enum Fit {
    /** Both sides are scaled on their own; the aspect ratio may change. */
    STRETCH,
    /** The aspect ratio is kept; what is left over is padded evenly on both sides. */
    LETTERBOX
}
