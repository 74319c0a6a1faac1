package io.upliftstream.model;

import java.nio.ByteBuffer;

/**
 * A frame as the model takes it.
 *
 * @param rgb a direct buffer of u8[H,W,3] at the model's input size, position 0
 */
public record DecodedFrame(ByteBuffer rgb, FrameTransform transform) {}
