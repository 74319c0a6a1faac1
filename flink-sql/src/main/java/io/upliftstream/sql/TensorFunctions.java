package io.upliftstream.sql;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorLayout;
import java.util.List;
import java.util.function.Function;
import org.apache.flink.table.annotation.DataTypeHint;
import org.jspecify.annotations.Nullable;

/** Functions of feature and depth records; {@link UpliftModule} has their names and their rule. */
public final class TensorFunctions {
    private TensorFunctions() {}

    private static <T> @Nullable T read(
            Records records, byte @Nullable [] bytes, Function<FeatureRecord, @Nullable T> function) {
        return records.read(bytes, FeatureRecord.class, record -> {
            records.fetch(record);
            return function.apply(record);
        });
    }

    /** The numbers at a point of the frame, one for each channel. */
    public static final class TensorAt extends RecordFunction {
        public @DataTypeHint("ARRAY<FLOAT NOT NULL>") float @Nullable [] eval(
                byte @Nullable [] record, @Nullable Double x, @Nullable Double y) {
            return x == null || y == null ? null : read(records, record, features -> at(features, x, y));
        }

        private static float @Nullable [] at(FeatureRecord record, double x, double y) {
            Tensor tensor = record.getTensor();
            float[] values = TensorCodec.toFloats(tensor, Grid.MAX_CELLS);
            Grid grid = grid(record);
            int cell = grid.cell(x, y);
            if (cell < 0) {
                return null;
            }
            int cells = grid.width() * grid.height();
            float[] vector = new float[values.length / cells];
            for (int channel = 0; channel < vector.length; channel++) {
                vector[channel] = values[isPlanes(tensor) ? channel * cells + cell : cell * vector.length + channel];
            }
            return vector;
        }
    }

    /** @throws MalformedRecordException if the tensor has no such grid as its header says */
    static Grid grid(FeatureRecord record) {
        List<Integer> shape = record.getTensor().getShape();
        if (shape.size() != 3) {
            throw new MalformedRecordException("tensor: shape " + shape + " (expected: three axes)");
        }
        int row = isPlanes(record.getTensor()) ? 1 : 0;
        return Grid.of(record.getHeader(), shape.get(row + 1), shape.get(row));
    }

    private static boolean isPlanes(Tensor tensor) {
        return tensor.getLayout() == TensorLayout.CHW;
    }

    /** All numbers, in the record's shape and layout. */
    public static final class TensorValues extends RecordFunction {
        public @DataTypeHint("ARRAY<FLOAT NOT NULL>") float @Nullable [] eval(byte @Nullable [] record) {
            return read(records, record, features -> TensorCodec.toFloats(features.getTensor(), Grid.MAX_CELLS));
        }
    }
}
