package io.upliftstream.model;

/** What a {@link DenseService} answers for one image. */
public record DenseResult(DenseOutput output, FrameTransform transform, StageTimings timings) {}
