@org.jspecify.annotations.NullMarked
package io.upliftstream.model.video;
