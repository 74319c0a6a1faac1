/** Dense outputs as pictures and files: overlays, principal colours, depth colours, contact sheets, NumPy arrays. */
@NullMarked
package io.upliftstream.tools.picture;

import org.jspecify.annotations.NullMarked;
