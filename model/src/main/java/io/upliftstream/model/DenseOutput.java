package io.upliftstream.model;

import java.util.List;

/**
 * The model's answer for one frame.
 *
 * @param heads in the order of {@link ModelBundle#heads}
 */
public record DenseOutput(List<HeadOutput> heads) {}
