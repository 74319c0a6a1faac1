package io.upliftstream.sql;

import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A segmentation record with its labels decoded.
 *
 * @param labels u8[height, width]: below the record's number of classes, or its ignore label
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record Segmentation(SegmentationRecord record, byte[] labels, Grid grid) {

    /** What a function makes of the labels of a record's bytes, by the rule of {@link UpliftModule}. */
    static <T> @Nullable T read(
            Records records, byte @Nullable [] bytes, Function<Segmentation, @Nullable T> function) {
        return records.read(bytes, SegmentationRecord.class, record -> {
            record.put("confidence", null); // no function asks for it
            records.fetch(record);
            return function.apply(of(record));
        });
    }

    /** @throws MalformedRecordException if the record contradicts itself */
    static Segmentation of(SegmentationRecord record) {
        byte[] labels = MaskCodec.decode(record.getMask(), Grid.MAX_CELLS);
        Grid grid = Grid.of(
                record.getHeader(),
                record.getMask().getWidth(),
                record.getMask().getHeight());
        int classes = record.getClasses();
        if (classes < 1 || classes > 256 || record.getClassNames().size() > classes) {
            throw new MalformedRecordException(
                    "segmentation: %d classes, %d names (expected: 1 to 256, and no more names)"
                            .formatted(classes, record.getClassNames().size()));
        }
        for (byte label : labels) {
            int id = Byte.toUnsignedInt(label);
            if (id >= classes && id != record.getIgnoreLabel()) {
                throw new MalformedRecordException("segmentation: label %d (expected: 0 to %d, or %d for none)"
                        .formatted(id, classes - 1, record.getIgnoreLabel()));
            }
        }
        return new Segmentation(record, labels, grid);
    }

    /** A class's name; its number where the model has no names. */
    String name(int label) {
        List<String> names = record.getClassNames();
        return label < names.size() ? names.get(label) : Integer.toString(label);
    }

    /** The class at a point of the frame; null if there is none. */
    @Nullable
    String at(double x, double y) {
        int cell = grid.cell(x, y);
        int label = cell < 0 ? record.getIgnoreLabel() : Byte.toUnsignedInt(labels[cell]);
        return label == record.getIgnoreLabel() ? null : name(label);
    }

    /** Cells of each class, those of no cell too. */
    Map<String, Long> histogram() {
        long[] cells = cells();
        Map<String, Long> histogram = new HashMap<>();
        for (int label = 0; label < record.getClasses(); label++) {
            if (label != record.getIgnoreLabel()) {
                histogram.merge(name(label), cells[label], Long::sum);
            }
        }
        return histogram;
    }

    private long[] cells() {
        long[] cells = new long[256];
        for (byte label : labels) {
            cells[Byte.toUnsignedInt(label)]++;
        }
        return cells;
    }

    /**
     * The record of the cells whose centres lie in a rectangle of the frame, from x0 and y0 up to, but without, x1 and y1.
     *
     * @return null if there are none
     */
    @Nullable
    SegmentationRecord region(double x0, double y0, double x1, double y1) {
        Geometry whole = grid.geometry();
        int left = grid.firstColumn(x0);
        int top = grid.firstRow(y0);
        int width = grid.firstColumn(x1) - left;
        int height = grid.firstRow(y1) - top;
        if (whole == null || !(width > 0 && height > 0)) {
            return null;
        }
        byte[] part = new byte[width * height];
        for (int row = 0; row < height; row++) {
            System.arraycopy(labels, (top + row) * grid.width() + left, part, row * width, width);
        }
        Geometry geometry = new Geometry(
                whole.getFrameWidth(),
                whole.getFrameHeight(),
                width,
                height,
                whole.getScaleX(),
                whole.getScaleY(),
                whole.getOffsetX() + left * whole.getScaleX(),
                whole.getOffsetY() + top * whole.getScaleY());
        return SegmentationRecord.newBuilder(record)
                .setHeaderBuilder(RecordHeader.newBuilder(record.getHeader()).setGeometry(geometry))
                .setMask(MaskCodec.encode(MaskEncoding.RLE, part, width, height))
                .setConfidence(null)
                .build();
    }
}
