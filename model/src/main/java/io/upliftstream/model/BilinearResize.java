package io.upliftstream.model;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.ParameterStore;
import java.nio.ByteBuffer;

/**
 * Bilinear resizing with antialiasing, as Pillow ({@code Image.resize} with {@code BILINEAR}) and PyTorch
 * ({@code antialias=True}) do it, by PyTorch itself: a small graph, which also turns an image upright and places it
 * on the model's input. OpenCV's and ImageIO's bilinear resizing looks at four pixels only, whatever the reduction, and so
 * gives a model other images than those it was trained on.
 */
final class BilinearResize {
    private static final Model GRAPH = SmallGraph.load("resize", Device.cpu());

    private BilinearResize() {}

    /**
     * Resizes an image into a frame. Runs on the caller's thread, also where models run on a GPU.
     *
     * @param image direct buffer of u8[height, width, 3] as it is stored
     * @param extentX how many of the columns are image; the last may count in part
     * @param extentY how many of the rows are image
     * @param orientation EXIF's, 1 to 8, which turns the image upright
     * @param placeLeft of the upright image on the frame, in pixels; the frame is grey around it
     * @param frame direct buffer of u8[frameHeight, frameWidth, 3]
     */
    static void place(
            ByteBuffer image,
            int width,
            int height,
            double extentX,
            double extentY,
            int orientation,
            int placeLeft,
            int placeTop,
            int placeWidth,
            int placeHeight,
            ByteBuffer frame,
            int frameWidth,
            int frameHeight) {
        try (NDManager arrays = GRAPH.getNDManager().newSubManager()) {
            NDArray pixels = arrays.create(image, new Shape(height, width, 3), DataType.UINT8);
            NDArray place = arrays.create(
                    new double[] {extentY, extentX, orientation, placeLeft, placeTop, placeWidth, placeHeight});
            NDArray filled = arrays.create(frame, new Shape(frameHeight, frameWidth, 3), DataType.UINT8);
            GRAPH.getBlock()
                    .forward(new ParameterStore(arrays, false), new NDList(pixels, place, filled), false)
                    .close();
        }
    }
}
