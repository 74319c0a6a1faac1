package io.upliftstream.tools.stream;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.TensorCodec;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.apache.avro.Schema;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;

/**
 * A record as JSON's maps and lists: every field by its name in the schema, bytes as {@code {"bytes": length}}. Beside
 * them, {@code shares} of a segmentation, the part of the pixels that each class has; {@code min}, {@code mean} and
 * {@code max} of a tensor.
 */
final class RecordJson {
    private RecordJson() {}

    static Map<String, @Nullable Object> of(SpecificRecord record) {
        Map<String, @Nullable Object> fields = fields(record);
        if (record instanceof SegmentationRecord segmentation) {
            fields.put("shares", shares(segmentation));
        } else if (record instanceof FeatureRecord features) {
            addRange(fields, TensorCodec.toFloats(features.getTensor()));
        }
        return fields;
    }

    private static Map<String, @Nullable Object> fields(SpecificRecord record) {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        for (Schema.Field field : record.getSchema().getFields()) {
            fields.put(field.name(), value(record.get(field.pos())));
        }
        return fields;
    }

    private static @Nullable Object value(@Nullable Object value) {
        if (value instanceof SpecificRecord record) {
            return fields(record);
        } else if (value instanceof Optional<?> optional) {
            return value(optional.orElse(null));
        } else if (value instanceof ByteBuffer bytes) {
            return Map.of("bytes", bytes.remaining());
        } else if (value instanceof List<?> list) {
            return list.stream().map(RecordJson::value).toList();
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            return value;
        }
        return value.toString();
    }

    /** By class name, else label; classes without a pixel are left out. */
    private static Map<String, Object> shares(SegmentationRecord record) {
        byte[] labels = MaskCodec.decode(record.getMask());
        int[] counts = new int[256];
        for (byte label : labels) {
            counts[label & 0xff]++;
        }
        List<? extends CharSequence> names = record.getClassNames();
        Map<String, Object> shares = new LinkedHashMap<>();
        for (int label = 0; label < counts.length; label++) {
            if (counts[label] > 0 && label != record.getIgnoreLabel()) {
                String name = label < names.size() ? names.get(label).toString() : Integer.toString(label);
                shares.put(name, round((double) counts[label] / labels.length));
            }
        }
        return shares;
    }

    private static void addRange(Map<String, @Nullable Object> fields, float[] values) {
        double min = Double.POSITIVE_INFINITY;
        double max = Double.NEGATIVE_INFINITY;
        double sum = 0;
        for (float value : values) {
            min = Math.min(min, value);
            max = Math.max(max, value);
            sum += value;
        }
        fields.put("min", round(min));
        fields.put("mean", round(sum / values.length));
        fields.put("max", round(max));
    }

    private static @Nullable Double round(double value) {
        return Double.isFinite(value) ? Double.valueOf(String.format(Locale.ROOT, "%.4g", value)) : null;
    }
}
