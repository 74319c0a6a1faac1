package io.upliftstream.model;

/**
 * How a served model has fared.
 *
 * @param hangs calls that were given up because they took too long
 * @param retries batches that failed and were tried again in parts
 * @param batchLimit most frames of a batch, less than it was if larger ones took too much memory
 */
public record ModelHealth(long hangs, long retries, int batchLimit) {}
