package io.upliftstream.tools.view;

import com.github.luben.zstd.Zstd;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import java.nio.ByteBuffer;
import java.util.List;

/** Records that no job writes, as whoever reaches the broker may. */
public final class Hostile {
    private Hostile() {}

    public static RecordHeader header(String camera, long offset, int width, int height) {
        return RecordHeader.newBuilder()
                .setCameraId(camera)
                .setSequence(offset)
                .setCaptureTimeMicros(System.currentTimeMillis() * 1000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setSource(new SourcePosition("camera-frames", 0, offset, 0L))
                .setGeometry(new Geometry(width, height, width, height, 1.0, 1.0, 0.0, 0.0))
                .build();
    }

    /** Runs that end within the length of one. */
    public static SegmentationRecord endlessRun(String camera, long offset) {
        return labels(camera, offset, 8, 8, new byte[] {1, (byte) 0x80});
    }

    public static SegmentationRecord labels(String camera, long offset, int width, int height, byte[] runs) {
        return SegmentationRecord.newBuilder()
                .setHeader(header(camera, offset, width, height))
                .setName("segmentation")
                .setClasses(19)
                .setMask(new Mask(MaskEncoding.RLE, width, height, ByteBuffer.wrap(runs), null))
                .build();
    }

    /** A tensor of no sizes. */
    public static FeatureRecord shapeless(String camera, long offset) {
        return tensor(camera, offset, 8, List.of(), Compression.NONE, new byte[0]);
    }

    /** Four kilobytes that are 2^26 zeros. */
    public static FeatureRecord zeros(String camera, long offset) {
        int side = 1 << 13;
        return tensor(
                camera,
                offset,
                side,
                List.of(1, side, side),
                Compression.ZSTD,
                Zstd.compress(new byte[2 * side * side], 3));
    }

    public static FeatureRecord tensor(
            String camera, long offset, int side, List<Integer> shape, Compression compression, byte[] data) {
        return FeatureRecord.newBuilder()
                .setHeader(header(camera, offset, side, side))
                .setName("features")
                .setTensor(Tensor.newBuilder()
                        .setShape(shape)
                        .setLayout(TensorLayout.CHW)
                        .setDtype(TensorType.FLOAT16)
                        .setStride(1)
                        .setCompression(compression)
                        .setData(ByteBuffer.wrap(data))
                        .build())
                .build();
    }
}
