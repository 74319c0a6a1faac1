@NullMarked
package io.upliftstream.model;

import org.jspecify.annotations.NullMarked;
