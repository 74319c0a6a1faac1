/** The {@code uplift} command line: the demo, the job against a Kafka that exists, single images, model bundles. */
@NullMarked
package io.upliftstream.tools.cli;

import org.jspecify.annotations.NullMarked;
