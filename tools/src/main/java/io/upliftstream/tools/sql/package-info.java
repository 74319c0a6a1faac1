/** Scripts of SQL statements, on the embedded Flink. */
@NullMarked
package io.upliftstream.tools.sql;

import org.jspecify.annotations.NullMarked;
