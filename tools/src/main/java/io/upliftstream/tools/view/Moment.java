package io.upliftstream.tools.view;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.tools.picture.Planes;
import io.upliftstream.tools.picture.PrincipalColours;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.Nullable;

/**
 * All records about one frame. What a browser draws is made of them when the first one asks, and kept.
 *
 * @param number grows by one from moment to moment, over all cameras
 */
record Moment(long number, RecordHeader header, List<SpecificRecord> records, Map<String, Part> made) {
    /** The most bytes of features that go to a browser; more cells than that are thinned out. */
    private static final int MAX_FEATURE_BYTES = 4 << 20;

    private static final String RLE = "rle";

    /**
     * Something to draw.
     *
     * @param about where it lies on the frame and how to read the bytes
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Part(Map<String, Object> about, byte[] data) {}

    /** Turns features into colours, by the name of their head. */
    interface Colours extends Function<FeatureRecord, PrincipalColours> {}

    Moment(long number, RecordHeader header, List<SpecificRecord> records) {
        this(number, header, List.copyOf(records), new ConcurrentHashMap<>());
    }

    String camera() {
        return header.getCameraId();
    }

    SourcePosition source() {
        return header.getSource();
    }

    /** What the payloads and the parts made of them take. */
    long bytes() {
        long bytes =
                made.values().stream().mapToLong(part -> part.data().length).sum();
        for (SpecificRecord record : records) {
            bytes += record instanceof SegmentationRecord labels
                    ? labels.getMask().getData().remaining()
                    : ((FeatureRecord) record).getTensor().getData().remaining();
        }
        return bytes;
    }

    /** What was said about the frame, as JSON's maps and lists. */
    Map<String, Object> about() {
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("number", number);
        about.put("camera", camera());
        about.put("sequence", header.getSequence());
        about.put("captureTimeMicros", header.getCaptureTimeMicros());
        about.put("partition", source().getPartition());
        about.put("offset", source().getOffset());
        header.getModel()
                .ifPresent(model -> about.put(
                        "model", model.getName() + " " + model.getVersion() + " (" + model.getVariant() + ")"));
        header.getTimings()
                .ifPresent(timings -> about.put(
                        "millis",
                        Map.of(
                                "decode", timings.getDecodeMicros() / 1e3,
                                "queue", timings.getQueueMicros() / 1e3,
                                "backbone", timings.getBackboneMicros() / 1e3,
                                "upsample", timings.getUpsampleMicros() / 1e3,
                                "encode", timings.getEncodeMicros() / 1e3)));
        return about;
    }

    /** The parts of some kinds: labels, colours, features, values. */
    List<Part> parts(List<String> kinds, Colours colours) {
        return records.stream()
                .flatMap(record -> kinds.stream().map(kind -> part(kind, record, colours)))
                .filter(part -> part != null)
                .toList();
    }

    private @Nullable Part part(String kind, SpecificRecord record, Colours colours) {
        if (record instanceof SegmentationRecord labels) {
            return kind.equals("labels") ? made.computeIfAbsent(kind + labels.getName(), key -> labels(labels)) : null;
        }
        if (record instanceof FeatureRecord features) {
            boolean measure = features.getTensor().getShape().get(0) == 1;
            return switch (kind) {
                case "values" ->
                    measure ? made.computeIfAbsent(kind + features.getName(), key -> values(features)) : null;
                case "colours" ->
                    measure
                            ? null
                            : made.computeIfAbsent(
                                    kind + features.getName(), key -> colours(features, colours.apply(features)));
                case "features" ->
                    measure ? null : made.computeIfAbsent(kind + features.getName(), key -> unitVectors(features));
                default -> null;
            };
        }
        return null;
    }

    private static Part labels(SegmentationRecord record) {
        boolean ready = record.getMask().getEncoding() == MaskEncoding.RLE;
        ByteBuffer runs = ready
                ? record.getMask().getData().duplicate()
                : MaskCodec.encode(
                                MaskEncoding.RLE,
                                MaskCodec.decode(record.getMask()),
                                record.getMask().getWidth(),
                                record.getMask().getHeight())
                        .getData();
        byte[] data = new byte[runs.remaining()];
        runs.get(data);
        Map<String, Object> about = about("labels", record.getName(), record.getHeader());
        about.put("encoding", RLE);
        return new Part(about, data);
    }

    private static Part values(FeatureRecord record) {
        float[] values = TensorCodec.toFloats(record.getTensor());
        ByteBuffer data = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        data.asFloatBuffer().put(values);
        Map<String, Object> about = about("values", record.getName(), record.getHeader());
        record.getUnit().ifPresent(unit -> about.put("unit", unit));
        return new Part(about, data.array());
    }

    private static Part colours(FeatureRecord record, PrincipalColours principal) {
        int[] colours = principal.colours(Planes.of(record.getTensor()));
        byte[] data = new byte[3 * colours.length];
        for (int i = 0; i < colours.length; i++) {
            data[3 * i] = (byte) (colours[i] >> 16);
            data[3 * i + 1] = (byte) (colours[i] >> 8);
            data[3 * i + 2] = (byte) colours[i];
        }
        return new Part(about("colours", record.getName(), record.getHeader()), data);
    }

    /** Every cell's vector at length 127, in bytes, cell by cell: the similarity of two is their product / 127². */
    private static Part unitVectors(FeatureRecord record) {
        float[] values = Planes.of(record.getTensor());
        int channels = Planes.channels(record.getTensor());
        Map<String, Object> about = about("features", record.getName(), record.getHeader());
        Geometry geometry = record.getHeader().getGeometry().orElseThrow();
        int width = geometry.getOutputWidth();
        int height = geometry.getOutputHeight();
        int cells = width * height;
        int thin = 1;
        while ((long) (width / thin) * (height / thin) * channels > MAX_FEATURE_BYTES) {
            thin++;
        }
        int columns = width / thin;
        int rows = height / thin;
        byte[] data = new byte[columns * rows * channels];
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < columns; x++) {
                int cell = (y * thin + thin / 2) * width + x * thin + thin / 2;
                double square = 1e-20;
                for (int c = 0; c < channels; c++) {
                    square += (double) values[c * cells + cell] * values[c * cells + cell];
                }
                double scale = 127 / Math.sqrt(square);
                for (int c = 0; c < channels; c++) {
                    data[(y * columns + x) * channels + c] = (byte) Math.round(values[c * cells + cell] * scale);
                }
            }
        }
        about.put("channels", channels);
        about.put("width", columns);
        about.put("height", rows);
        about.put("scaleX", geometry.getScaleX() * thin);
        about.put("scaleY", geometry.getScaleY() * thin);
        return new Part(about, data);
    }

    private static Map<String, Object> about(String kind, String name, RecordHeader header) {
        Geometry geometry = header.getGeometry().orElseThrow();
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("kind", kind);
        about.put("name", name);
        about.put("frameWidth", geometry.getFrameWidth());
        about.put("frameHeight", geometry.getFrameHeight());
        about.put("width", geometry.getOutputWidth());
        about.put("height", geometry.getOutputHeight());
        about.put("scaleX", geometry.getScaleX());
        about.put("scaleY", geometry.getScaleY());
        about.put("offsetX", geometry.getOffsetX());
        about.put("offsetY", geometry.getOffsetY());
        return about;
    }
}
