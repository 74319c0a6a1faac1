package io.upliftstream.tools.view;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.tools.picture.Planes;
import io.upliftstream.tools.picture.PrincipalColours;
import io.upliftstream.tools.stream.Classes;
import io.upliftstream.tools.stream.RecordKind;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.specific.SpecificRecord;

/**
 * All records about one frame. What a browser draws is made of them when the first one asks.
 *
 * @param number grows by one from moment to moment, over all cameras; 0 for one that was searched for
 * @param bytes that the records took on their topics
 */
record Moment(long number, RecordHeader header, List<SpecificRecord> records, long bytes) {
    /** Kinds of parts. */
    static final Set<String> KINDS = Set.of("labels", "colours", "features", "values");

    /** Of an output grid: a little more than 3840 x 2160. */
    private static final int MAX_CELLS = 1 << 23;

    /** Of a frame, which the browser draws. */
    private static final int MAX_FRAME_PIXELS = 1 << 25;

    private static final int MAX_SIDE = 1 << 14;

    /** Of a tensor: while it becomes a part, an element takes up to 16 bytes. */
    private static final int MAX_ELEMENTS =
            (int) Math.min(1 << 24, Runtime.getRuntime().maxMemory() / (8 * 16));

    /** The most bytes of features that go to a browser; more cells than that are thinned out. */
    private static final int MAX_FEATURE_BYTES = 4 << 20;

    /**
     * Something to draw.
     *
     * @param about where it lies on the frame and how to read the bytes
     */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Part(Map<String, Object> about, byte[] data) {
        boolean readable() {
            return !about.isEmpty();
        }
    }

    /** In the place of a part whose record is not what it says. */
    private static final Part UNREADABLE = new Part(Map.of(), new byte[0]);

    /** Turns features into colours, by the name of their head. */
    interface Colours {
        PrincipalColours of(FeatureRecord record, float[] planes);
    }

    /** Counts a record that turned out not to be readable. */
    interface Unreadable {
        void count(SpecificRecord record, String reason);
    }

    Moment {
        records = List.copyOf(records);
    }

    /**
     * Looks over a dense record that is to be drawn.
     *
     * @throws MalformedRecordException if it is larger than the page draws
     */
    static void check(SpecificRecord record) {
        Geometry geometry = RecordKind.header(record).getGeometry().orElseThrow();
        checkFrame(geometry.getFrameWidth(), geometry.getFrameHeight());
        checkSize("output grid", geometry.getOutputWidth(), geometry.getOutputHeight(), MAX_CELLS);
        if (record instanceof FeatureRecord features) {
            long elements = (long) Planes.channels(features.getTensor())
                    * geometry.getOutputWidth()
                    * geometry.getOutputHeight();
            if (elements > MAX_ELEMENTS) {
                throw new MalformedRecordException(
                        "tensor: %d elements (expected: at most %d on the page)".formatted(elements, MAX_ELEMENTS));
            }
        }
    }

    /** @throws MalformedRecordException if a frame is larger than the page draws */
    static void checkFrame(int width, int height) {
        checkSize("frame", width, height, MAX_FRAME_PIXELS);
    }

    private static void checkSize(String what, int width, int height, int most) {
        if (width > MAX_SIDE || height > MAX_SIDE || (long) width * height > most) {
            throw new MalformedRecordException("%s: %d x %d (expected: at most %d pixels and %d on a side on the page)"
                    .formatted(what, width, height, most, MAX_SIDE));
        }
    }

    String camera() {
        return header.getCameraId();
    }

    SourcePosition source() {
        return header.getSource();
    }

    /** What was said about the frame, as JSON's maps and lists. */
    Map<String, Object> about() {
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("number", number);
        about.put("camera", camera());
        about.put("sequence", header.getSequence());
        about.put("captureTimeMicros", header.getCaptureTimeMicros());
        about.put("topic", source().getTopic());
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

    /**
     * The parts of some of the {@link #KINDS}. A record whose payload is not what it says is counted once and has none.
     *
     * @param cache of what was made before
     */
    List<Part> parts(Set<String> kinds, PartCache cache, Classes classes, Colours colours, Unreadable unreadable) {
        List<Part> parts = new ArrayList<>();
        for (SpecificRecord record : records) {
            for (String kind : kinds) {
                if (has(kind, record)) {
                    Part part = cache.get(key(kind, record), () -> make(kind, record, classes, colours, unreadable));
                    if (part.readable()) {
                        parts.add(part);
                    }
                }
            }
        }
        return parts;
    }

    private String key(String kind, SpecificRecord record) {
        return "%d %d@%d %s %s"
                .formatted(number, source().getPartition(), source().getOffset(), kind, RecordKind.head(record));
    }

    private static boolean has(String kind, SpecificRecord record) {
        if (record instanceof FeatureRecord features) {
            boolean measure = Planes.channels(features.getTensor()) == 1;
            return measure ? kind.equals("values") : kind.equals("colours") || kind.equals("features");
        }
        return kind.equals("labels");
    }

    private static Part make(
            String kind, SpecificRecord record, Classes classes, Colours colours, Unreadable unreadable) {
        try {
            return make(kind, record, classes, colours);
        } catch (RuntimeException e) { // damaged payloads are found out here
            unreadable.count(
                    record, e instanceof MalformedRecordException ? String.valueOf(e.getMessage()) : e.toString());
            return UNREADABLE;
        }
    }

    private static Part make(String kind, SpecificRecord record, Classes classes, Colours colours) {
        if (record instanceof SegmentationRecord labels) {
            return labels(labels, classes.json(labels));
        }
        FeatureRecord features = (FeatureRecord) record;
        return switch (kind) {
            case "values" -> values(features);
            case "colours" -> colours(features, colours);
            default -> unitVectors(features);
        };
    }

    /** @param classes as JSON, which follow the runs; of no bytes if they are those that a browser knows */
    private static Part labels(SegmentationRecord record, byte[] classes) {
        Mask mask = record.getMask();
        byte[] labels = MaskCodec.decode(mask); // runs, too: a browser gets whole ones alone
        ByteBuffer runs = mask.getEncoding() == MaskEncoding.RLE
                ? mask.getData().duplicate()
                : MaskCodec.encode(MaskEncoding.RLE, labels, mask.getWidth(), mask.getHeight())
                        .getData();
        byte[] data = new byte[runs.remaining() + classes.length];
        runs.get(data, 0, runs.remaining());
        System.arraycopy(classes, 0, data, data.length - classes.length, classes.length);
        Map<String, Object> about = about("labels", record.getName(), record.getHeader());
        about.put("classes", classes.length);
        return new Part(about, data);
    }

    private static Part values(FeatureRecord record) {
        float[] values = TensorCodec.toFloats(record.getTensor());
        for (float value : values) {
            if (!Float.isFinite(value)) {
                throw new MalformedRecordException(
                        record.getName() + ": %s (expected: finite values)".formatted(value));
            }
        }
        ByteBuffer data = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        data.asFloatBuffer().put(values);
        Map<String, Object> about = about("values", record.getName(), record.getHeader());
        record.getUnit().ifPresent(unit -> about.put("unit", unit));
        return new Part(about, data.array());
    }

    private static Part colours(FeatureRecord record, Colours fitted) {
        float[] planes = Planes.of(record.getTensor());
        int[] colours = fitted.of(record, planes).colours(planes);
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
        if (width / thin < 1 || height / thin < 1) {
            throw new MalformedRecordException(
                    "tensor: %s (expected: so many channels and cells that some can be sent to a browser)"
                            .formatted(record.getTensor().getShape()));
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
