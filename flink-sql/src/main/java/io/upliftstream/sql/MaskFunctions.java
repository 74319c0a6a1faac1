package io.upliftstream.sql;

import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.jspecify.annotations.Nullable;

/** Functions of segmentation records; {@link UpliftModule} has their names and their rule. */
public final class MaskFunctions {
    private MaskFunctions() {}

    /** The name of the class at a point of the frame. */
    public static final class ClassAt extends RecordFunction {
        public @Nullable String eval(byte @Nullable [] segmentation, @Nullable Double x, @Nullable Double y) {
            return x == null || y == null ? null : Segmentation.read(records, segmentation, labels -> labels.at(x, y));
        }
    }

    /** The share of a class among the cells that have a class, 0 to 1. */
    public static final class ClassShare extends RecordFunction {
        public @Nullable Double eval(byte @Nullable [] segmentation, @Nullable String name) {
            return Segmentation.read(records, segmentation, labels -> {
                Map<String, Long> histogram = labels.histogram();
                Long cells = name == null ? null : histogram.get(name);
                long all =
                        histogram.values().stream().mapToLong(Long::longValue).sum();
                return cells == null || all == 0 ? null : (double) cells / all;
            });
        }
    }

    /** The number of cells of each class. */
    public static final class ClassHistogram extends RecordFunction {
        public @DataTypeHint("MAP<STRING, BIGINT>") @Nullable Map<String, Long> eval(byte @Nullable [] segmentation) {
            return Segmentation.read(records, segmentation, Segmentation::histogram);
        }
    }

    /** The segmentation record of a rectangle of the frame. */
    public static final class MaskRegion extends RecordFunction {
        public byte @Nullable [] eval(
                byte @Nullable [] segmentation,
                @Nullable Double x0,
                @Nullable Double y0,
                @Nullable Double x1,
                @Nullable Double y1) {
            if (x0 == null || y0 == null || x1 == null || y1 == null) {
                return null;
            }
            return Segmentation.read(records, segmentation, labels -> {
                SegmentationRecord region = labels.region(x0, y0, x1, y1);
                return region == null ? null : SingleObject.encode(region);
            });
        }
    }

    /** The labels, row by row from the upper left. */
    public static final class MaskLabels extends RecordFunction {
        public @DataTypeHint("ARRAY<INT NOT NULL>") int @Nullable [] eval(byte @Nullable [] segmentation) {
            return Segmentation.read(records, segmentation, labels -> Records.unsigned(labels.labels()));
        }
    }
}
