/** Everything in one JVM: cameras, Kafka, Flink, the job, and a reader that checks the accounts. */
@NullMarked
package io.upliftstream.tools.demo;

import org.jspecify.annotations.NullMarked;
