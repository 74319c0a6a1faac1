package io.upliftstream.tools.picture;

import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.schemas.Geometry;

/**
 * Where an output grid lies on its frame: frame = output * scale + offset, in pixel edges, so that the centre of a
 * pixel is its index plus a half.
 *
 * @param width columns of the grid
 * @param height rows of the grid
 */
public record Grid(int width, int height, double scaleX, double scaleY, double offsetX, double offsetY) {

    /** The grid that a record states. */
    public static Grid of(Geometry geometry) {
        return new Grid(
                geometry.getOutputWidth(),
                geometry.getOutputHeight(),
                geometry.getScaleX(),
                geometry.getScaleY(),
                geometry.getOffsetX(),
                geometry.getOffsetY());
    }

    /** The grid of a head's output for a frame. */
    public static Grid of(HeadSpec head, FrameTransform transform) {
        return new Grid(
                head.width(),
                head.height(),
                transform.scaleX() * head.stride(),
                transform.scaleY() * head.stride(),
                transform.offsetX(),
                transform.offsetY());
    }

    /** Index of the cell that holds the centre of a frame pixel, or -1 if the grid does not reach there. */
    public int cellAt(int frameX, int frameY) {
        int x = (int) Math.floor((frameX + 0.5 - offsetX) / scaleX);
        int y = (int) Math.floor((frameY + 0.5 - offsetY) / scaleY);
        return x < 0 || y < 0 || x >= width || y >= height ? -1 : y * width + x;
    }

    /** Column of the frame pixel in which the centre of a column of the grid lies; may be outside the frame. */
    public int frameX(int column) {
        return (int) Math.floor((column + 0.5) * scaleX + offsetX);
    }

    /** Row of the frame pixel in which the centre of a row of the grid lies; may be outside the frame. */
    public int frameY(int row) {
        return (int) Math.floor((row + 0.5) * scaleY + offsetY);
    }
}
