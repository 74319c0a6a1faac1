/**
 * Flink SQL: the model behind {@code ML_PREDICT}, and functions for the records on the topics. Start at
 * {@link io.upliftstream.sql.UpliftModelProviderFactory} and {@link io.upliftstream.sql.UpliftModule}; docs/sql.md shows
 * both at work.
 */
@NullMarked
package io.upliftstream.sql;

import org.jspecify.annotations.NullMarked;
