package io.upliftstream.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.model.DenseResult;
import io.upliftstream.model.DenseService;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.HeadOutput;
import io.upliftstream.model.ModelOptions;
import io.upliftstream.model.ServiceOptions;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.TensorCodec;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.stream.IntStream;
import org.apache.flink.types.Row;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** {@code ML_PREDICT} with the shipped bundle, through Flink's planner, against the model asked directly. */
class MlPredictITCase {
    private static final String ALL_COLUMNS = "segmentation BYTES, features ARRAY<FLOAT>, depth BYTES, failure STRING,"
            + " model ROW<name STRING, version STRING, sha256 STRING, `variant` STRING>,"
            + " geometry ROW<frame_width INT, frame_height INT, output_width INT, output_height INT,"
            + " scale_x DOUBLE, scale_y DOUBLE, offset_x DOUBLE, offset_y DOUBLE>";

    @Test
    void rowsHoldWhatTheModelSaysAndBadImagesSayWhyInTheOrderOfTheInput() throws Exception {
        List<byte[]> images = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            for (String name : List.of("plain.jpg", "other.gif", "small.png", "exif-6.jpg")) {
                images.add(Sql.image(name));
            }
        }
        images.add(5, new byte[0]);
        List<@Nullable DenseResult> expected = direct(images);
        List<Row> rows = new Sql()
                .values("frames", images)
                .run(model(ALL_COLUMNS, "'precision' = 'fp32'"))
                .rows("SELECT * FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(v))");

        assertThat(rows).hasSize(images.size());
        for (int i = 0; i < images.size(); i++) {
            Row row = rows.get(i);
            assertThat((byte[]) row.getField("v")).isEqualTo(images.get(i));
            DenseResult result = expected.get(i);
            if (result == null) {
                assertThat(row.getField("failure"))
                        .asString()
                        .startsWith(images.get(i).length == 0 ? "EMPTY: " : "NOT_AN_IMAGE: ");
                assertThat(row.getField("segmentation")).isNull();
                assertThat(row.getField("features")).isNull();
                assertThat(row.getField("geometry")).isNull();
                continue;
            }
            assertThat(row.getField("failure")).isNull();
            HeadOutput segmentation = result.output().heads().get(0);
            SegmentationRecord record =
                    SingleObject.decode((byte[]) row.getField("segmentation"), SegmentationRecord.class);
            assertThat(MaskCodec.decode(record.getMask()))
                    .isEqualTo(segmentation.data().array());
            assertThat(record.getHeader().getModel()).isPresent();
            assertThat((Object[]) row.getField("features"))
                    .isEqualTo(boxed(result.output().heads().get(1).toFloats()));
            FeatureRecord depth = SingleObject.decode((byte[]) row.getField("depth"), FeatureRecord.class);
            assertThat(TensorCodec.toFloats(depth.getTensor()))
                    .isEqualTo(result.output().heads().get(2).toFloats());
            assertThat(depth.getUnit()).hasValue("m");
            assertThat(((Row) row.getFieldAs("model")).getField("name")).isEqualTo("street");
            assertThat(((Row) row.getFieldAs("geometry")).getField("frame_width"))
                    .isEqualTo(result.transform().frameWidth());
        }
    }

    @Test
    void rowsThatWaitForTheModelShareItsCalls() throws Exception {
        assertThat(batches(12)).hasSize(24).contains(4).allMatch(batch -> batch <= 4);
        assertThat(batches(1)).hasSize(24).containsOnly(1);
    }

    /** The sizes of the batches that images were in, of at most 4, when Flink lets so many rows wait. */
    private static List<Integer> batches(int concurrent) throws Exception {
        List<Row> rows = new Sql()
                .values("frames", Collections.nCopies(24, Sql.image("plain.jpg")))
                .run(model("segmentation BYTES", "'max-batch' = '4'"))
                .rows("SELECT segmentation FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(v),"
                        + " MAP['max-concurrent-operations', '" + concurrent + "'])");
        List<Integer> batches = new ArrayList<>();
        for (Row row : rows) {
            SegmentationRecord record = SingleObject.decode((byte[]) row.getField(0), SegmentationRecord.class);
            batches.add(record.getHeader().getTimings().orElseThrow().getBatchSize());
        }
        return batches;
    }

    @Test
    void aCameraFrameIsUnwrappedAndItsHeaderKept() throws Exception {
        CameraFrame frame = CameraFrame.newBuilder()
                .setCameraId("gate")
                .setSequence(7)
                .setCaptureTimeMicros(1_000_000)
                .setCaptureClock(CaptureClock.CAMERA)
                .setImage(ByteBuffer.wrap(Sql.image("plain.jpg")))
                .build();
        byte[] record = SingleObject.encode(frame);
        byte[] cut = Arrays.copyOf(record, record.length - 5);
        List<Row> rows = new Sql()
                .values("frames", List.of(record, cut))
                .run("LOAD MODULE uplift")
                .run(model("segmentation BYTES, failure STRING", ""))
                .rows("SELECT RECORD_HEADER(segmentation).camera_id, RECORD_HEADER(segmentation).`sequence`, failure"
                        + " FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(v))");
        assertThat(rows.get(0)).isEqualTo(Row.of("gate", 7L, null));
        assertThat(rows.get(1).getField(2)).asString().startsWith("MALFORMED_RECORD: CameraFrame: ");
    }

    @Test
    void aBadImageFailsTheJobWhereThatIsAskedFor() throws Exception {
        byte[] good = Sql.image("plain.jpg");
        // Behind good ones: of a task that fails before all of its source's events came, Flink names the lost event.
        Sql sql = new Sql()
                .values("frames", List.of(good, good, good, good, Sql.image("other.gif")))
                .run(model("segmentation BYTES", "'on-failure' = 'fail'"));
        assertThatThrownBy(() ->
                        sql.rows("SELECT segmentation FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(v))"))
                .hasStackTraceContaining("on-failure = fail: NOT_AN_IMAGE: ");
    }

    @Test
    void whatCannotBeServedIsRefusedInASentence() {
        assertThat(refusal("segmentation INT", "")).contains("output column segmentation: INT (expected: BYTES or ");
        assertThat(refusal("failure BYTES", "")).contains("output column failure: BYTES (expected: STRING)");
        assertThat(refusal("mask BYTES", "")).contains("no such head (expected: failure, model, geometry or one of");
        assertThat(refusal("depth ARRAY<INT>", "")).contains("output column depth: ARRAY<INT> of a head of REGRESSION");
        assertThat(refusal("segmentation BYTES", "'device' = 'tpu'")).contains("device: tpu (expected: auto, cpu,");
        assertThat(refusal("segmentation BYTES", "'sha256' = 'ab'")).contains("(expected: ab, the option sha256)");
        assertThat(refusal("segmentation BYTES", "'batch' = '3'")).contains("Unsupported options");
    }

    private static String refusal(String columns, String options) {
        Sql sql = new Sql().values("frames", List.of(new byte[0])).run(model(columns, options));
        try {
            sql.rows("SELECT * FROM ML_PREDICT(TABLE frames, MODEL street, DESCRIPTOR(v))");
            return "nothing";
        } catch (Exception e) {
            StringBuilder messages = new StringBuilder();
            for (Throwable each = e; each != null; each = each.getCause()) {
                messages.append(each.getMessage()).append('\n');
            }
            return messages.toString();
        }
    }

    private static String model(String columns, String options) {
        return "CREATE MODEL street INPUT (image BYTES) OUTPUT (%s) WITH ('provider' = 'uplift', 'bundle' = '%s'%s)"
                .formatted(columns, Sql.STREET, options.isEmpty() ? "" : ", " + options);
    }

    /** What the service answers; null for a failure. */
    private static List<@Nullable DenseResult> direct(List<byte[]> images) throws Exception {
        List<@Nullable DenseResult> results = new ArrayList<>();
        ModelOptions options = new ModelOptions("auto", "fp32", 0);
        try (DenseService service = DenseService.acquire(new ServiceOptions(Sql.STREET, options))) {
            for (byte[] image : images) {
                CompletableFuture<DenseResult> answer = service.submit(image);
                try {
                    results.add(answer.get());
                } catch (ExecutionException e) {
                    assertThat(e).hasCauseInstanceOf(FrameException.class);
                    results.add(null);
                }
            }
        }
        return results;
    }

    private static Object[] boxed(float[] values) {
        return IntStream.range(0, values.length).mapToObj(i -> values[i]).toArray();
    }
}
