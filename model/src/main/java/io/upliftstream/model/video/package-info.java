/**
 * Video in the JVM: what a packet of H.264, H.265 or AV1 says of itself, and the pictures that FFmpeg decodes of it. Nothing
 * here knows of Flink, Kafka or Avro.
 */
@NullMarked
package io.upliftstream.model.video;

import org.jspecify.annotations.NullMarked;
