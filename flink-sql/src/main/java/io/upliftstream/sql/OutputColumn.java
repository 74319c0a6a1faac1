package io.upliftstream.sql;

import io.upliftstream.model.BundleException;
import io.upliftstream.model.HeadKind;
import io.upliftstream.model.HeadSpec;
import io.upliftstream.model.ModelBundle;
import java.io.Serializable;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;

/**
 * A column of the model's output, by the name and type that {@code CREATE MODEL} gives it: {@code failure}, {@code model},
 * {@code geometry}, or one of the bundle's heads.
 */
record OutputColumn(String name, Form form) implements Serializable {
    static final String FAILURE = "failure";
    static final String MODEL = "model";
    static final String GEOMETRY = "geometry";

    static final DataType MODEL_ROW = DataTypes.ROW(
            DataTypes.FIELD("name", DataTypes.STRING()),
            DataTypes.FIELD("version", DataTypes.STRING()),
            DataTypes.FIELD("sha256", DataTypes.STRING()),
            DataTypes.FIELD("variant", DataTypes.STRING()));

    static final DataType GEOMETRY_ROW = DataTypes.ROW(
            DataTypes.FIELD("frame_width", DataTypes.INT()),
            DataTypes.FIELD("frame_height", DataTypes.INT()),
            DataTypes.FIELD("output_width", DataTypes.INT()),
            DataTypes.FIELD("output_height", DataTypes.INT()),
            DataTypes.FIELD("scale_x", DataTypes.DOUBLE()),
            DataTypes.FIELD("scale_y", DataTypes.DOUBLE()),
            DataTypes.FIELD("offset_x", DataTypes.DOUBLE()),
            DataTypes.FIELD("offset_y", DataTypes.DOUBLE()));

    /** What a column holds. */
    @SuppressWarnings("ImmutableEnumChecker") // Flink does not say that its types never change
    enum Form {
        /** Why the image has no result, as {@code REASON: sentence}; null if it has one. */
        FAILURE(DataTypes.STRING()),
        MODEL(MODEL_ROW),
        /** Of the model's input on the frame. */
        GEOMETRY(GEOMETRY_ROW),
        /** A head's record, as on the topics. */
        RECORD(DataTypes.BYTES()),
        /** A segmentation's labels, row by row; 255 where there is no frame. */
        LABELS(DataTypes.ARRAY(DataTypes.INT())),
        /** Another head's numbers: channel by channel, each row by row. */
        VALUES(DataTypes.ARRAY(DataTypes.FLOAT()));

        final DataType type;

        Form(DataType type) {
            this.type = type;
        }
    }

    /** @throws ValidationException if a column of this name cannot have this type */
    static OutputColumn of(Column column) {
        String name = column.getName();
        List<Form> forms =
                switch (name) {
                    case FAILURE -> List.of(Form.FAILURE);
                    case MODEL -> List.of(Form.MODEL);
                    case GEOMETRY -> List.of(Form.GEOMETRY);
                    default -> List.of(Form.RECORD, Form.LABELS, Form.VALUES);
                };
        LogicalType found = column.getDataType().getLogicalType();
        return forms.stream()
                .filter(form -> found.copy(true).equals(form.type.getLogicalType()))
                .findFirst()
                .map(form -> new OutputColumn(name, form))
                .orElseThrow(() -> new ValidationException("model output column %s: %s (expected: %s)"
                        .formatted(
                                name,
                                found.asSummaryString(),
                                String.join(
                                        " or ",
                                        forms.stream()
                                                .map(form -> form.type.toString())
                                                .toList()))));
    }

    /** @throws BundleException if this is a column of a head that the bundle does not have, or of another kind */
    void check(ModelBundle bundle) throws BundleException {
        if (form == Form.FAILURE || form == Form.MODEL || form == Form.GEOMETRY) {
            return;
        }
        List<String> heads = bundle.heads().stream().map(HeadSpec::name).toList();
        HeadSpec head = bundle.heads().stream()
                .filter(each -> each.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new BundleException(
                        "model output column %s: bundle %s has no such head (expected: %s, %s, %s or one of its heads, %s)"
                                .formatted(name, bundle, FAILURE, MODEL, GEOMETRY, String.join(", ", heads))));
        boolean segmentation = head.kind() == HeadKind.SEGMENTATION;
        if (form != Form.RECORD && segmentation != (form == Form.LABELS)) {
            throw new BundleException("model output column %s: %s of a head of %s (expected: %s or %s)"
                    .formatted(
                            name,
                            form.type,
                            head.kind(),
                            Form.RECORD.type,
                            (segmentation ? Form.LABELS : Form.VALUES).type));
        }
    }
}
