/** Between people and topics: frames of cameras to Kafka, records from it to files. */
@NullMarked
package io.upliftstream.tools.stream;

import org.jspecify.annotations.NullMarked;
