package io.upliftstream.sql;

import io.upliftstream.model.DType;
import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameTransform;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.InputSpec;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import io.upliftstream.schemas.Timings;
import io.upliftstream.sql.OutputColumn.Form;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.jspecify.annotations.Nullable;

/** What the model says of an image, as a row of the columns that were asked for. Safe for use by many threads. */
final class ResultRows {
    private static final int IGNORE_LABEL = 255;
    private static final SourcePosition NO_SOURCE = new SourcePosition("", -1, -1L, -1L);

    private final List<OutputColumn> columns;
    private final InputSpec input;
    private final ModelIdentity model;
    private final List<String> classNames;

    ResultRows(DenseService service, List<OutputColumn> columns) {
        this.columns = columns;
        input = service.bundle().input();
        model = new ModelIdentity(
                service.bundle().name(),
                service.bundle().version(),
                service.bundle().sha256(),
                service.variant().name());
        classNames = service.bundle().labels().stream().map(Label::name).toList();
    }

    RowData result(FrameValue frame, DenseResult result) {
        return row(column -> switch (column.form()) {
            case FAILURE -> null;
            case MODEL -> SqlRows.model(model);
            case GEOMETRY -> SqlRows.geometry(geometry(input.width(), input.height(), 1, result.transform()));
            case RECORD -> record(frame, result, head(column, result));
            case LABELS -> new GenericArrayData(Records.unsigned(labels(head(column, result), result.transform())));
            case VALUES -> new GenericArrayData(head(column, result).toFloats());
        });
    }

    /** The row of an image without a result: nulls, but for the reason. */
    RowData failure(String reason) {
        return row(column -> column.form() == Form.FAILURE ? StringData.fromString(reason) : null);
    }

    /** What a column has to say of an image. */
    @FunctionalInterface
    private interface Cell {
        @Nullable
        Object of(OutputColumn column);
    }

    private RowData row(Cell cell) {
        GenericRowData row = new GenericRowData(columns.size());
        for (int i = 0; i < columns.size(); i++) {
            row.setField(i, cell.of(columns.get(i)));
        }
        return row;
    }

    private static HeadOutput head(OutputColumn column, DenseResult result) {
        return result.output().heads().stream()
                .filter(head -> head.head().name().equals(column.name()))
                .findFirst()
                .orElseThrow();
    }

    private static byte[] labels(HeadOutput head, FrameTransform transform) {
        return head.inFrame(head.data(), transform, (byte) IGNORE_LABEL);
    }

    private byte[] record(FrameValue frame, DenseResult result, HeadOutput output) {
        HeadSpec head = output.head();
        RecordHeader header = RecordHeader.newBuilder()
                .setCameraId(frame.cameraId())
                .setSequence(frame.sequence())
                .setCaptureTimeMicros(frame.captureTimeMicros())
                .setCaptureClock(frame.captureClock())
                .setSource(NO_SOURCE)
                .setModel(model)
                .setGeometry(geometry(head.width(), head.height(), head.stride(), result.transform()))
                .setTimings(timings(result))
                .build();
        if (head.kind() == HeadKind.SEGMENTATION) {
            byte[] labels = labels(output, result.transform());
            return SingleObject.encode(SegmentationRecord.newBuilder()
                    .setHeader(header)
                    .setName(head.name())
                    .setClasses(head.channels())
                    .setClassNames(classNames)
                    .setIgnoreLabel(IGNORE_LABEL)
                    .setMask(MaskCodec.encode(MaskEncoding.RLE, labels, head.width(), head.height()))
                    .build());
        }
        TensorType type = head.dtype() == DType.FLOAT32 ? TensorType.FLOAT32 : TensorType.FLOAT16;
        // Not compressed: between the operators of a job, time is dearer than bytes.
        TensorFormat format = new TensorFormat(
                List.of(head.channels(), head.height(), head.width()),
                TensorLayout.CHW,
                head.stride(),
                null,
                type,
                true,
                Compression.NONE,
                256);
        return SingleObject.encode(FeatureRecord.newBuilder()
                .setHeader(header)
                .setName(head.name())
                .setUnit(head.unit())
                .setTensor(TensorCodec.encode(output.data(), type, format))
                .build());
    }

    private static Geometry geometry(int width, int height, int stride, FrameTransform transform) {
        return new Geometry(
                transform.frameWidth(),
                transform.frameHeight(),
                width,
                height,
                transform.scaleX() * stride,
                transform.scaleY() * stride,
                transform.offsetX(),
                transform.offsetY());
    }

    private static Timings timings(DenseResult result) {
        return new Timings(
                TimeUnit.NANOSECONDS.toMicros(result.timings().decodeNanos()),
                TimeUnit.NANOSECONDS.toMicros(result.timings().queueNanos()),
                TimeUnit.NANOSECONDS.toMicros(result.timings().backboneNanos()),
                TimeUnit.NANOSECONDS.toMicros(result.timings().upsampleNanos()),
                0L,
                result.timings().batchSize());
    }
}
