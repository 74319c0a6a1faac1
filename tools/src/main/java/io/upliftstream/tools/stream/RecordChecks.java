package io.upliftstream.tools.stream;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.VideoPacket;
import java.util.List;
import org.apache.avro.specific.SpecificRecord;

/**
 * What holds of every record that a job writes, beyond its schema: whoever reaches the broker may have written another.
 * Decoding what passes takes no more than a quarter of the heap; the payload itself is the codecs' to judge.
 */
final class RecordChecks {
    /** Characters of a name: a camera, a head, a reason, a class, a unit. */
    static final int MAX_NAME = 1024;

    private static final int MAX_TEXT = 1 << 16;
    private static final int MAX_CLASSES = 256;
    private static final long MAX_COUNT = 1L << 40;
    /** What every reader of JSON tells apart. */
    private static final long MAX_OFFSET = 1L << 53;

    private static final double MAX_DISTANCE = 1e9;
    /** While a tensor becomes floats, an element takes up to 8 bytes. */
    private static final int BYTES_PER_ELEMENT = 8;

    /** Elements of a tensor, pixels of a mask or of a frame. */
    static final int MAX_ELEMENTS =
            (int) Math.min(TensorCodec.MAX_ELEMENTS, Runtime.getRuntime().maxMemory() / (4 * BYTES_PER_ELEMENT));

    private RecordChecks() {}

    /**
     * Looks a record over without decoding its payload.
     *
     * @throws MalformedRecordException if no job writes such a record
     */
    static void check(SpecificRecord record) {
        if (record instanceof CameraFrame || record instanceof VideoPacket) {
            name("camera", RecordKind.cameraId(record));
            return;
        }
        RecordHeader header = RecordKind.header(record);
        header(header);
        if (record instanceof SegmentationRecord labels) {
            check(labels, geometry(header));
        } else if (record instanceof FeatureRecord features) {
            name("head", features.getName());
            name("unit", features.getUnit().orElse(""));
            tensor(features.getTensor(), geometry(header));
        } else if (record instanceof FrameFailure failure) {
            name("stage", failure.getStage());
            name("reason", failure.getReason());
            text("message", failure.getMessage(), MAX_TEXT);
        } else if (record instanceof FrameDropped dropped) {
            name("reason", dropped.getReason());
            require(
                    dropped.getCount() >= 1 && dropped.getCount() <= MAX_COUNT,
                    "dropped frames",
                    dropped.getCount(),
                    "1 to " + MAX_COUNT);
        }
    }

    private static void header(RecordHeader header) {
        name("camera", header.getCameraId());
        name("topic", header.getSource().getTopic());
        long offset = header.getSource().getOffset();
        require(offset >= 0 && offset <= MAX_OFFSET, "offset", offset, "0 to " + MAX_OFFSET);
        require(
                header.getSource().getPartition() >= 0,
                "partition",
                header.getSource().getPartition(),
                "at least 0");
        name("traceparent", header.getTraceparent().orElse(""));
        name("tracestate", header.getTracestate().orElse(""));
        header.getModel().ifPresent(model -> {
            name("model", model.getName());
            name("model version", model.getVersion());
            name("model variant", model.getVariant());
            name("model hash", model.getSha256());
        });
    }

    private static Geometry geometry(RecordHeader header) {
        Geometry geometry = header.getGeometry()
                .orElseThrow(() -> new MalformedRecordException("geometry: none (expected: that of the output grid)"));
        size("frame", geometry.getFrameWidth(), geometry.getFrameHeight());
        size("output grid", geometry.getOutputWidth(), geometry.getOutputHeight());
        for (double scale : new double[] {geometry.getScaleX(), geometry.getScaleY()}) {
            require(scale > 0 && scale < MAX_DISTANCE, "scale of the output grid", scale, "above 0 and finite");
        }
        for (double offset : new double[] {geometry.getOffsetX(), geometry.getOffsetY()}) {
            require(Math.abs(offset) < MAX_DISTANCE, "offset of the output grid", offset, "finite");
        }
        return geometry;
    }

    private static void check(SegmentationRecord record, Geometry geometry) {
        name("head", record.getName());
        require(
                record.getClasses() >= 1 && record.getClasses() <= MAX_CLASSES,
                "classes",
                record.getClasses(),
                "1 to " + MAX_CLASSES);
        List<String> names = record.getClassNames();
        require(names.size() <= MAX_CLASSES, "class names", names.size(), "at most " + MAX_CLASSES);
        names.forEach(name -> name("class name", name));
        Mask mask = record.getMask();
        require(
                mask.getWidth() == geometry.getOutputWidth() && mask.getHeight() == geometry.getOutputHeight(),
                "mask",
                mask.getWidth() + " x " + mask.getHeight(),
                geometry.getOutputWidth() + " x " + geometry.getOutputHeight() + ", its geometry's output grid");
    }

    private static void tensor(Tensor tensor, Geometry geometry) {
        List<Integer> shape = tensor.getShape();
        require(shape.size() == 3, "tensor", "of " + shape.size() + " sizes", "three");
        boolean rowsFirst = tensor.getLayout() == TensorLayout.HWC;
        long channels = shape.get(rowsFirst ? 2 : 0);
        int height = shape.get(rowsFirst ? 0 : 1);
        int width = shape.get(rowsFirst ? 1 : 2);
        require(
                width == geometry.getOutputWidth() && height == geometry.getOutputHeight(),
                "tensor",
                width + " x " + height + " cells",
                geometry.getOutputWidth() + " x " + geometry.getOutputHeight() + ", its geometry's output grid");
        require(
                channels >= 1 && channels * width * height <= MAX_ELEMENTS,
                "tensor",
                shape,
                "at least one channel and at most " + MAX_ELEMENTS + " elements in this heap");
    }

    private static void size(String what, int width, int height) {
        require(
                width >= 1 && height >= 1 && (long) width * height <= MAX_ELEMENTS,
                what,
                width + " x " + height,
                "at least 1 x 1 and at most " + MAX_ELEMENTS + " pixels in this heap");
    }

    private static void name(String what, String name) {
        text(what, name, MAX_NAME);
    }

    private static void text(String what, String text, int longest) {
        require(text.length() <= longest, what, text.length() + " characters", "at most " + longest);
    }

    /** The error says what was found and what was expected. */
    static void require(boolean holds, String what, Object found, String expected) {
        if (!holds) {
            throw new MalformedRecordException("%s: %s (expected: %s)".formatted(what, found, expected));
        }
    }
}
