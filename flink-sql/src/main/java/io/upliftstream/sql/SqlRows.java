package io.upliftstream.sql;

import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.ModelIdentity;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;

/** Parts of records as Flink's rows and arrays, with the columns that {@link OutputColumn} names. */
final class SqlRows {
    private SqlRows() {}

    static RowData model(ModelIdentity model) {
        return GenericRowData.of(
                StringData.fromString(model.getName()),
                StringData.fromString(model.getVersion()),
                StringData.fromString(model.getSha256()),
                StringData.fromString(model.getVariant()));
    }

    static RowData geometry(Geometry geometry) {
        return GenericRowData.of(
                geometry.getFrameWidth(),
                geometry.getFrameHeight(),
                geometry.getOutputWidth(),
                geometry.getOutputHeight(),
                geometry.getScaleX(),
                geometry.getScaleY(),
                geometry.getOffsetX(),
                geometry.getOffsetY());
    }
}
