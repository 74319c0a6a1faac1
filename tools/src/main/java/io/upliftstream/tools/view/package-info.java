/** The live page: records from the topics, served to browsers. */
@NullMarked
package io.upliftstream.tools.view;

import org.jspecify.annotations.NullMarked;
