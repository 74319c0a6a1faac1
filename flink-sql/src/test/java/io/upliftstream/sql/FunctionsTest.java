package io.upliftstream.sql;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.avro.specific.SpecificRecord;
import org.apache.flink.types.Row;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The functions against brute force over every cell and pixel, and on bytes that anyone could have sent. */
class FunctionsTest {
    private static final List<String> NAMES = List.of("road", "person", "sky");
    private static final int IGNORED = 255;
    static final int WIDTH = 16;
    static final int HEIGHT = 9;
    /** A grid whose left and right columns lie beside a frame of 40 x 30, as a letterbox has them. */
    static final Geometry GEOMETRY = new Geometry(40, 30, WIDTH, HEIGHT, 3.5, 3.75, -8.0, -1.5);

    private final Random random = new Random(7);
    private final byte[] labels = labels();

    @Test
    void theClassAtAPointIsThatOfItsCell() {
        byte[] record = encode(segmentation(labels, MaskEncoding.PNG).build());
        MaskFunctions.ClassAt classAt = new MaskFunctions.ClassAt();
        for (double y = -2; y < 33; y += 0.25) {
            for (double x = -2; x < 43; x += 0.25) {
                String expected = null;
                for (int cell = 0; cell < labels.length; cell++) {
                    double left = column(cell) * 3.5 - 8;
                    double top = row(cell) * 3.75 - 1.5;
                    boolean inCell = x >= left && x < left + 3.5 && y >= top && y < top + 3.75;
                    if (inCell && x >= 0 && x < 40 && y >= 0 && y < 30 && labels[cell] >= 0) {
                        expected = NAMES.get(labels[cell]);
                    }
                }
                assertThat(classAt.eval(record, x, y)).as("%s %s", x, y).isEqualTo(expected);
            }
        }
    }

    @Test
    void histogramAndSharesCountTheCellsThatHaveAClass() {
        Map<String, Long> expected = new HashMap<>(Map.of("road", 0L, "person", 0L, "sky", 0L));
        for (byte label : labels) {
            if (label >= 0) {
                expected.merge(NAMES.get(label), 1L, Long::sum);
            }
        }
        double all = expected.values().stream().mapToLong(Long::longValue).sum();
        for (MaskEncoding encoding : List.of(MaskEncoding.RLE, MaskEncoding.PNG, MaskEncoding.RAW_ZSTD)) {
            byte[] record = encode(segmentation(labels, encoding).build());
            assertThat(new MaskFunctions.ClassHistogram().eval(record)).isEqualTo(expected);
            for (String name : NAMES) {
                assertThat(new MaskFunctions.ClassShare().eval(record, name))
                        .isEqualTo(requireNonNull(expected.get(name)) / all);
            }
            assertThat(new MaskFunctions.ClassShare().eval(record, "pedestrian"))
                    .isNull();
            assertThat(new MaskFunctions.MaskLabels().eval(record)).isEqualTo(Records.unsigned(labels));
        }
    }

    @Test
    void classesWithoutNamesAreNumbers() {
        byte[] record = encode(
                segmentation(labels, MaskEncoding.RLE).setClassNames(List.of()).build());
        assertThat(new MaskFunctions.ClassHistogram().eval(record)).containsOnlyKeys("0", "1", "2");
        assertThat(new MaskFunctions.ClassShare().eval(record, "1")).isPositive();
    }

    @Test
    void aRegionHasTheCellsWhoseCentresLieInIt() {
        byte[] record = encode(segmentation(labels, MaskEncoding.RLE).build());
        MaskFunctions.ClassAt classAt = new MaskFunctions.ClassAt();
        for (int i = 0; i < 300; i++) {
            double x0 = random.nextDouble() * 60 - 10;
            double y0 = random.nextDouble() * 50 - 10;
            double x1 = x0 + random.nextDouble() * 30 - 3;
            double y1 = y0 + random.nextDouble() * 30 - 3;
            Map<String, Long> expected = new HashMap<>();
            boolean any = false;
            for (int cell = 0; cell < labels.length; cell++) {
                double x = (column(cell) + 0.5) * 3.5 - 8;
                double y = (row(cell) + 0.5) * 3.75 - 1.5;
                if (x >= x0 && x < x1 && y >= y0 && y < y1) {
                    any = true;
                    if (labels[cell] >= 0) {
                        expected.merge(NAMES.get(labels[cell]), 1L, Long::sum);
                    }
                }
            }
            byte[] region = new MaskFunctions.MaskRegion().eval(record, x0, y0, x1, y1);
            assertThat(region != null).isEqualTo(any);
            if (region != null) {
                Map<String, Long> found = new HashMap<>(new MaskFunctions.ClassHistogram().eval(region));
                found.values().removeIf(cells -> cells == 0);
                assertThat(found).isEqualTo(expected);
                assertThat(new RecordFunctions.Problem().eval(region)).isNull();
                // Points of the frame stay where they are.
                for (double[] point : new double[][] {{x0 + 4, y0 + 4}, {x1 - 4, y1 - 4}}) {
                    String inside = classAt.eval(region, point[0], point[1]);
                    if (inside != null) {
                        assertThat(inside).isEqualTo(classAt.eval(record, point[0], point[1]));
                    }
                }
            }
        }
    }

    @Test
    void vectorsAtAPointAreThoseOfTheirCellInEveryLayout() {
        float[] planes = new float[2 * WIDTH * HEIGHT];
        float[] pixels = new float[planes.length];
        for (int cell = 0; cell < WIDTH * HEIGHT; cell++) {
            for (int channel = 0; channel < 2; channel++) {
                float value = random.nextInt(1000);
                planes[channel * WIDTH * HEIGHT + cell] = value;
                pixels[cell * 2 + channel] = value;
            }
        }
        byte[] chw = encode(features(planes, List.of(2, HEIGHT, WIDTH), TensorLayout.CHW));
        byte[] hwc = encode(features(pixels, List.of(HEIGHT, WIDTH, 2), TensorLayout.HWC));
        int cell = 4 * WIDTH + 6; // its centre is at 14.75, 15.375
        float[] expected = {planes[cell], planes[WIDTH * HEIGHT + cell]};
        for (byte[] record : List.of(chw, hwc)) {
            assertThat(new TensorFunctions.TensorAt().eval(record, 14.75, 15.375))
                    .isEqualTo(expected);
            assertThat(new TensorFunctions.TensorAt().eval(record, -1.0, 15.0)).isNull();
            assertThat(new RecordFunctions.Problem().eval(record)).isNull();
        }
        assertThat(new TensorFunctions.TensorValues().eval(hwc)).isEqualTo(pixels);
    }

    @Test
    void theHeaderSaysWhichFrame() {
        Row header = requireNonNull(new RecordFunctions.Header()
                .eval(encode(segmentation(labels, MaskEncoding.RLE).build())));
        assertThat(header.getField(0)).isEqualTo("gate");
        assertThat(header.getField(1)).isEqualTo(12L);
        assertThat(header.getField(3)).isEqualTo("camera-frames");
        assertThat(header.getField(6)).isNull();
        assertThat(header.getField(7)).isEqualTo(Row.of(40, 30, WIDTH, HEIGHT, 3.5, 3.75, -8.0, -1.5));
    }

    @Test
    void aRecordWithoutAHeaderHasNone() {
        byte[] command = encode(ModelCommand.newBuilder()
                .setId("c")
                .setAction(ModelAction.STATUS)
                .build());
        assertThat(new RecordFunctions.Header().eval(command)).isNull();
        assertThat(new RecordFunctions.Problem().eval(command)).isNull();
    }

    @Test
    void whatIsNoSuchRecordIsNullAndSaysWhy() {
        SegmentationRecord good = segmentation(labels, MaskEncoding.RLE).build();
        Map<String, byte @Nullable []> hostile = new HashMap<>();
        hostile.put("no bytes", null);
        hostile.put("nothing (expected: c301", new byte[0]);
        hostile.put("start with ffd8", new byte[] {(byte) 0xFF, (byte) 0xD8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
        hostile.put(
                "label 3 (expected: 0 to 2, or 255",
                encode(segmentation(filled(3), MaskEncoding.RLE).build()));
        hostile.put(
                "geometry: of 8 x 9 cells (expected: 16 x 9",
                encode(with(good, new Geometry(40, 30, 8, HEIGHT, 1.0, 1.0, 0.0, 0.0))));
        hostile.put(
                "finite numbers", encode(with(good, new Geometry(40, 30, WIDTH, HEIGHT, Double.NaN, 1.0, 0.0, 0.0))));
        hostile.put("scales above 0", encode(with(good, new Geometry(40, 30, WIDTH, HEIGHT, 1.0, -1.0, 0.0, 0.0))));
        // A mask of 65,536 x 512 cells in 5 bytes.
        hostile.put(
                "at most " + Grid.MAX_CELLS,
                encode(SegmentationRecord.newBuilder(good)
                        .setMask(new Mask(
                                MaskEncoding.RLE,
                                1 << 16,
                                512,
                                ByteBuffer.wrap(new byte[] {0, -128, -128, -128, 16}),
                                null))
                        .build()));
        byte[] cut = encode(good);
        hostile.put("no such record", Arrays.copyOf(cut, cut.length - 3));
        hostile.forEach((why, bytes) -> {
            assertThat(new RecordFunctions.Problem().eval(bytes)).as(why).contains(why);
            assertThat(new MaskFunctions.ClassAt().eval(bytes, 1.0, 1.0))
                    .as(why)
                    .isNull();
            assertThat(new MaskFunctions.ClassShare().eval(bytes, "road"))
                    .as(why)
                    .isNull();
            assertThat(new MaskFunctions.ClassHistogram().eval(bytes)).as(why).isNull();
            assertThat(new MaskFunctions.MaskLabels().eval(bytes)).as(why).isNull();
            assertThat(new MaskFunctions.MaskRegion().eval(bytes, 0.0, 0.0, 9.0, 9.0))
                    .as(why)
                    .isNull();
            assertThat(new TensorFunctions.TensorAt().eval(bytes, 1.0, 1.0))
                    .as(why)
                    .isNull();
            assertThat(new TensorFunctions.TensorValues().eval(bytes)).as(why).isNull();
        });
    }

    @Test
    void damagedBytesNeverThrow() {
        byte[] good = encode(segmentation(labels, MaskEncoding.RLE).build());
        for (int i = 0; i < 5000; i++) {
            byte[] bytes = good.clone();
            for (int flips = random.nextInt(4); flips >= 0; flips--) {
                bytes[10 + random.nextInt(bytes.length - 10)] ^= (byte) (1 << random.nextInt(8));
            }
            boolean readable = new MaskFunctions.ClassHistogram().eval(bytes) != null;
            assertThat(new RecordFunctions.Problem().eval(bytes) == null).isEqualTo(readable);
            assertThat(new MaskFunctions.MaskLabels().eval(bytes) != null).isEqualTo(readable);
            new MaskFunctions.ClassAt().eval(bytes, 20.0, 10.0);
            new MaskFunctions.MaskRegion().eval(bytes, 2.0, 2.0, 20.0, 20.0);
            new RecordFunctions.Header().eval(bytes);
        }
    }

    @Test
    void thePlannerKnowsTheFunctionsOfTheModule() throws Exception {
        List<byte[]> values = new ArrayList<>(List.of(
                encode(segmentation(labels, MaskEncoding.RLE).build()),
                encode(features(new float[WIDTH * HEIGHT], List.of(1, HEIGHT, WIDTH), TensorLayout.CHW)),
                new byte[] {1}));
        List<Row> rows = new Sql()
                .values("topic", values)
                .run("LOAD MODULE uplift")
                .rows(
                        "SELECT CLASS_AT(v, 10, 10.5), CLASS_HISTOGRAM(v)['sky'], CARDINALITY(MASK_LABELS(v)),"
                                + " CLASS_SHARE(MASK_REGION(v, 0, 0, 20, 20), 'road'), CLASS_SHARE(v, 'road'),"
                                + " TENSOR_AT(v, 3, 4)[1], CARDINALITY(TENSOR_VALUES(v)),"
                                + " RECORD_HEADER(v).camera_id, RECORD_HEADER(v).geometry.scale_x, RECORD_PROBLEM(v) FROM topic");

        Row segmentation = rows.get(0);
        assertThat(segmentation.getField(0)).isEqualTo(new MaskFunctions.ClassAt().eval(values.get(0), 10.0, 10.5));
        assertThat(segmentation.getField(1))
                .isEqualTo(requireNonNull(new MaskFunctions.ClassHistogram().eval(values.get(0)))
                        .get("sky"));
        assertThat(segmentation.getField(2)).isEqualTo(WIDTH * HEIGHT);
        assertThat((Double) segmentation.getField(3)).isBetween(0.0, 1.0);
        assertThat(segmentation.getField(7)).isEqualTo("gate");
        assertThat(segmentation.getField(8)).isEqualTo(3.5);
        assertThat(segmentation.getField(9)).isNull();
        assertThat(rows.get(1).getField(0)).isNull();
        assertThat(rows.get(1).getField(5)).isEqualTo(0f);
        assertThat(rows.get(1).getField(6)).isEqualTo(WIDTH * HEIGHT);
        assertThat(rows.get(2).getField(9)).asString().contains("expected: c301");
    }

    private static int column(int cell) {
        return cell % WIDTH;
    }

    private static int row(int cell) {
        return cell / WIDTH;
    }

    private byte[] labels() {
        byte[] some = new byte[WIDTH * HEIGHT];
        for (int cell = 0; cell < some.length; cell++) {
            int label = random.nextInt(4);
            some[cell] = (byte) (label == 3 ? IGNORED : label);
        }
        return some;
    }

    static byte[] filled(int label) {
        byte[] all = new byte[WIDTH * HEIGHT];
        Arrays.fill(all, (byte) label);
        return all;
    }

    static RecordHeader header(Geometry geometry) {
        return RecordHeader.newBuilder()
                .setCameraId("gate")
                .setSequence(12)
                .setCaptureTimeMicros(1_000_000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setSource(new SourcePosition("camera-frames", 0, 5L, 1_000L))
                .setGeometry(geometry)
                .build();
    }

    static SegmentationRecord.Builder segmentation(byte[] labels, MaskEncoding encoding) {
        return SegmentationRecord.newBuilder()
                .setHeader(header(GEOMETRY))
                .setName("segmentation")
                .setClasses(NAMES.size())
                .setClassNames(NAMES)
                .setMask(MaskCodec.encode(encoding, labels, WIDTH, HEIGHT));
    }

    private static SegmentationRecord with(SegmentationRecord record, Geometry geometry) {
        return SegmentationRecord.newBuilder(record).setHeader(header(geometry)).build();
    }

    private static FeatureRecord features(float[] values, List<Integer> shape, TensorLayout layout) {
        TensorFormat format = new TensorFormat(shape, layout, 4, null, TensorType.FLOAT32, true, Compression.ZSTD, 256);
        return FeatureRecord.newBuilder()
                .setHeader(header(GEOMETRY))
                .setName("features")
                .setTensor(TensorCodec.encode(values, format))
                .build();
    }

    static byte[] encode(SpecificRecord record) {
        return SingleObject.encode(record);
    }
}
