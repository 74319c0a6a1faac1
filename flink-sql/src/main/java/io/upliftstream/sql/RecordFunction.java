package io.upliftstream.sql;

import org.apache.flink.table.functions.ScalarFunction;

/** A function of a record. Unless {@link UpliftModule} says otherwise, it knows the published schemas alone. */
abstract class RecordFunction extends ScalarFunction {
    Records records = Records.PLAIN;
}
