package io.upliftstream.tools.picture;

import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorLayout;

/** A record's tensor, channel by channel. */
public final class Planes {
    private Planes() {}

    /** How many channels it has. */
    public static int channels(Tensor tensor) {
        return tensor.getShape().get(tensor.getLayout() == TensorLayout.HWC ? 2 : 0);
    }

    /** [channels, cells] whatever the tensor's layout. */
    public static float[] of(Tensor tensor) {
        float[] values = TensorCodec.toFloats(tensor);
        if (tensor.getLayout() != TensorLayout.HWC) {
            return values;
        }
        int channels = channels(tensor);
        int cells = values.length / channels;
        float[] planes = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            planes[i % channels * cells + i / channels] = values[i];
        }
        return planes;
    }
}
