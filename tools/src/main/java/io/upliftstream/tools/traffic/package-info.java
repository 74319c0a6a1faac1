/** Frames on a schedule, and an account of what became of each: what measurements and proofs share. */
@NullMarked
package io.upliftstream.tools.traffic;

import org.jspecify.annotations.NullMarked;
