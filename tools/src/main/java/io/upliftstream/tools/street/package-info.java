/** Synthetic street cameras: a procedural, moving street with exact labels and exact depth at every pixel. */
@NullMarked
package io.upliftstream.tools.street;

import org.jspecify.annotations.NullMarked;
