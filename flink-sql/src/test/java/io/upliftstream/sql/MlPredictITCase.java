package io.upliftstream.sql;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.util.List;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.Test;

/** {@code ML_PREDICT} with the shipped bundle, through Flink's planner. */
class MlPredictITCase {
    @Test
    void imagesBecomeRowsAndBadOnesSayWhy() throws Exception {
        List<byte[]> images =
                List.of(Sql.image("plain.jpg"), Sql.image("other.gif"), Sql.image("small.png"), new byte[0]);
        List<Row> rows = new Sql()
                .values("frames", images)
                .run("CREATE MODEL street INPUT (image BYTES) OUTPUT (segmentation BYTES, failure STRING)"
                        + " WITH ('provider' = 'uplift', 'bundle' = '" + Sql.STREET + "')")
                .rows("SELECT segmentation, failure FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(f0))");

        assertThat(rows).hasSize(4);
        for (int good : new int[] {0, 2}) {
            SegmentationRecord record =
                    SingleObject.decode((byte[]) rows.get(good).getField(0), SegmentationRecord.class);
            assertThat(MaskCodec.decode(record.getMask())).hasSize(320 * 192);
            assertThat(rows.get(good).getField(1)).isNull();
        }
        assertThat(rows.get(1).getField(0)).isNull();
        assertThat(rows.get(1).getField(1)).asString().startsWith("NOT_AN_IMAGE: ");
        assertThat(rows.get(3).getField(1)).asString().startsWith("EMPTY: ");
    }
}
