/** Measurements of the job. */
@NullMarked
package io.upliftstream.tools.bench;

import org.jspecify.annotations.NullMarked;
