/**
 * The records on the topics and the codecs of their masks and tensors: all that a subscriber needs.
 *
 * <p>{@link io.upliftstream.schemas.SingleObject} reads and writes records, {@link io.upliftstream.schemas.MaskCodec} and
 * {@link io.upliftstream.schemas.TensorCodec} what they carry; docs/schemas.md explains both, byte by byte. The records
 * are generated and carry no nullness annotations, so the classes written by hand are null-marked one by one.
 */
package io.upliftstream.schemas;
