/**
 * The Flink job: camera frames from Kafka, through the model, to dense records on Kafka. Start at
 * {@link io.upliftstream.job.DenseVisionJob}.
 */
@NullMarked
package io.upliftstream.job;

import org.jspecify.annotations.NullMarked;
