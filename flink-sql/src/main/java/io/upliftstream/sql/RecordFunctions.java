package io.upliftstream.sql;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.VideoPacket;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.types.Row;
import org.jspecify.annotations.Nullable;

/** Functions of all records; {@link UpliftModule} has their names and their rule. */
public final class RecordFunctions {
    private static final String HEADER = "ROW<camera_id STRING, `sequence` BIGINT, capture_time TIMESTAMP_LTZ(3),"
            + " topic STRING, `partition` INT, `offset` BIGINT,"
            + " model ROW<name STRING, version STRING, sha256 STRING, `variant` STRING>,"
            + " geometry ROW<frame_width INT, frame_height INT, output_width INT, output_height INT,"
            + " scale_x DOUBLE, scale_y DOUBLE, offset_x DOUBLE, offset_y DOUBLE>>";

    private RecordFunctions() {}

    /** Which frame a record is about, and how it was made. */
    public static final class Header extends RecordFunction {
        public @DataTypeHint(HEADER) @Nullable Row eval(byte @Nullable [] record) {
            try {
                return record == null ? null : row(records.decode(record));
            } catch (MalformedRecordException e) {
                return null;
            }
        }
    }

    /** What is wrong with a record's bytes, in one sentence; null if nothing is. */
    public static final class Problem extends RecordFunction {
        public @Nullable String eval(byte @Nullable [] record) {
            try {
                SpecificRecord decoded = records.decode(record);
                records.fetch(decoded);
                if (decoded instanceof SegmentationRecord labels) {
                    Segmentation.of(labels);
                    labels.getConfidence().ifPresent(confidence -> check(confidence, labels.getMask()));
                } else if (decoded instanceof FeatureRecord features) {
                    TensorFunctions.grid(features);
                    TensorCodec.toFloats(features.getTensor(), Grid.MAX_CELLS);
                }
                return null;
            } catch (MalformedRecordException e) {
                return e.getMessage();
            }
        }
    }

    /** @throws MalformedRecordException if a confidence is not one of each of the mask's cells */
    private static void check(Mask confidence, Mask mask) {
        byte[] unused = MaskCodec.decode(confidence, Grid.MAX_CELLS);
        if (confidence.getWidth() != mask.getWidth() || confidence.getHeight() != mask.getHeight()) {
            throw new MalformedRecordException("confidence: %d x %d (expected: %d x %d, as the mask)"
                    .formatted(confidence.getWidth(), confidence.getHeight(), mask.getWidth(), mask.getHeight()));
        }
    }

    private static Row row(SpecificRecord record) {
        if (record instanceof CameraFrame frame) {
            return row(frame.getCameraId(), frame.getSequence(), frame.getCaptureTimeMicros(), null, null, null);
        }
        if (record instanceof VideoPacket packet) {
            return row(packet.getCameraId(), packet.getSequence(), packet.getCaptureTimeMicros(), null, null, null);
        }
        if (!(record.get(0) instanceof RecordHeader header)) { // a command's, or the answer's to one
            throw new MalformedRecordException(
                    record.getSchema().getName() + ": no header (expected: a frame's record)");
        }
        return row(
                header.getCameraId(),
                header.getSequence(),
                header.getCaptureTimeMicros(),
                header.getSource(),
                header.getModel().orElse(null),
                header.getGeometry().orElse(null));
    }

    private static Row row(
            String cameraId,
            long sequence,
            long captureTimeMicros,
            @Nullable SourcePosition source,
            @Nullable ModelIdentity model,
            @Nullable Geometry geometry) {
        return Row.of(
                cameraId,
                sequence,
                Instant.EPOCH.plus(captureTimeMicros, ChronoUnit.MICROS),
                source == null ? null : source.getTopic(),
                source == null ? null : source.getPartition(),
                source == null ? null : source.getOffset(),
                model == null
                        ? null
                        : Row.of(model.getName(), model.getVersion(), model.getSha256(), model.getVariant()),
                geometry == null
                        ? null
                        : Row.of(
                                geometry.getFrameWidth(),
                                geometry.getFrameHeight(),
                                geometry.getOutputWidth(),
                                geometry.getOutputHeight(),
                                geometry.getScaleX(),
                                geometry.getScaleY(),
                                geometry.getOffsetX(),
                                geometry.getOffsetY()));
    }
}
