/** A real Kafka broker and a real Flink cluster inside this JVM, for trying and testing; not for production. */
@NullMarked
package io.upliftstream.tools.embedded;

import org.jspecify.annotations.NullMarked;
