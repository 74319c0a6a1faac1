package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.nio.ByteBuffer;

/**
 * Bilinear resizing with antialiasing, as Pillow ({@code Image.resize} with {@code BILINEAR}) and PyTorch
 * ({@code antialias=True}) do it, by PyTorch itself: a small graph, which also turns an image upright and places it
 * on the model's input. OpenCV's and ImageIO's bilinear resizing looks at four pixels only, whatever the reduction, and so
 * gives a model other images than those it was trained on.
 */
final class BilinearResize {
    private static final TorchGraph GRAPH = TorchGraph.small("resize", Device.cpu());

    private BilinearResize() {}

    /** Where the upright image lies on the frame, in pixels. */
    record Area(int left, int top, int width, int height) {}

    /**
     * Resizes an image into a frame. Runs on the caller's thread, also where models run on a GPU.
     *
     * @param image direct buffer of u8[height, width, 3] as it is stored
     * @param extentX how many of the columns are image; the last may count in part
     * @param extentY how many of the rows are image
     * @param orientation EXIF's, 1 to 8, which turns the image upright
     * @param area of the upright image; the frame is grey around it
     * @param frame direct buffer of u8[frameHeight, frameWidth, 3]
     */
    static void resize(
            ByteBuffer image,
            int width,
            int height,
            double extentX,
            double extentY,
            int orientation,
            Area area,
            ByteBuffer frame,
            int frameWidth,
            int frameHeight) {
        try (NDManager arrays = GRAPH.arrays()) {
            NDArray pixels = arrays.create(image, new Shape(height, width, 3), DataType.UINT8);
            NDArray place = arrays.create(
                    new double[] {extentY, extentX, orientation, area.left(), area.top(), area.width(), area.height()});
            NDArray filled = arrays.create(frame, new Shape(frameHeight, frameWidth, 3), DataType.UINT8);
            GRAPH.forward(arrays, pixels, place, filled).close();
        }
    }
}
