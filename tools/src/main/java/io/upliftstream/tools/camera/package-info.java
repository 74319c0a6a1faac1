/** Where frames come from: video files, directories of images, synthetic streets. */
@NullMarked
package io.upliftstream.tools.camera;

import org.jspecify.annotations.NullMarked;
