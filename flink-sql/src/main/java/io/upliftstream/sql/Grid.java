package io.upliftstream.sql;

import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordHeader;
import org.jspecify.annotations.Nullable;

/** Where a grid of cells lies on its frame; points are in frame pixels, of which pixel i spans i to i + 1. */
record Grid(int width, int height, @Nullable Geometry geometry) {
    /** Most cells of a record that are decoded: a few kilobytes can honestly be a mask of many more. */
    static final int MAX_CELLS = 1 << 24;

    /** @throws MalformedRecordException if the header places a grid of another size, or one without extent, on the frame */
    static Grid of(RecordHeader header, int width, int height) {
        Geometry geometry = header.getGeometry().orElse(null);
        if (geometry != null) {
            if (geometry.getOutputWidth() != width || geometry.getOutputHeight() != height) {
                throw new MalformedRecordException("geometry: of %d x %d cells (expected: %d x %d, as the data)"
                        .formatted(geometry.getOutputWidth(), geometry.getOutputHeight(), width, height));
            }
            boolean placed = geometry.getScaleX() > 0
                    && geometry.getScaleY() > 0
                    && Double.isFinite(geometry.getScaleX() + geometry.getOffsetX())
                    && Double.isFinite(geometry.getScaleY() + geometry.getOffsetY());
            if (!placed) {
                throw new MalformedRecordException(
                        "geometry: %s (expected: finite numbers, scales above 0)".formatted(geometry));
            }
        }
        return new Grid(width, height, geometry);
    }

    /** Index of the cell that a point of the frame falls into; -1 if there is none or the grid's place is not known. */
    int cell(double x, double y) {
        if (geometry == null) {
            return -1;
        }
        double column = Math.floor((x - geometry.getOffsetX()) / geometry.getScaleX());
        double row = Math.floor((y - geometry.getOffsetY()) / geometry.getScaleY());
        boolean inside = x >= 0
                && y >= 0
                && x < geometry.getFrameWidth()
                && y < geometry.getFrameHeight()
                && column >= 0
                && row >= 0
                && column < width
                && row < height;
        return inside ? (int) (row * width + column) : -1;
    }

    /** The first column whose centre lies at a frame x or beyond it, 0 to {@code width}. */
    int firstColumn(double x) {
        return geometry == null ? 0 : first(x, geometry.getOffsetX(), geometry.getScaleX(), width);
    }

    /** The first row whose centre lies at a frame y or beyond it, 0 to {@code height}. */
    int firstRow(double y) {
        return geometry == null ? 0 : first(y, geometry.getOffsetY(), geometry.getScaleY(), height);
    }

    private static int first(double coordinate, double offset, double scale, int size) {
        return (int) Math.max(0, Math.min(size, Math.ceil((coordinate - offset) / scale - 0.5)));
    }
}
