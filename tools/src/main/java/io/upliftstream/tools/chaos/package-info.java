/** A cluster of plain processes, and what kills them. */
@NullMarked
package io.upliftstream.tools.chaos;

import org.jspecify.annotations.NullMarked;
