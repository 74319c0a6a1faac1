package io.upliftstream.model;

/**
 * Where the time of one frame went; the four parts sum up to its time in the {@link DenseService}.
 *
 * @param queueNanos waiting, for a decoding thread and for the model
 * @param backboneNanos of the whole batch the frame was in; on a GPU, which nothing waits for between the two halves, only
 *     making an array of the frames
 * @param upsampleNanos of the whole batch: upsampler, heads, and copying the outputs; on a GPU also the backbone
 * @param batchSize frames in that batch
 */
public record StageTimings(long decodeNanos, long queueNanos, long backboneNanos, long upsampleNanos, int batchSize) {}
