/**
 * A model bundle in the JVM: loading and checking it, decoding frames, batching them and running the model.
 *
 * <p>Start with {@link io.upliftstream.model.DenseService}: image bytes in, dense outputs out. Nothing here knows of
 * Flink, Kafka or Avro.
 */
@NullMarked
package io.upliftstream.model;

import org.jspecify.annotations.NullMarked;
