package io.upliftstream.sql;

import static io.upliftstream.sql.FunctionsTest.GEOMETRY;
import static io.upliftstream.sql.FunctionsTest.HEIGHT;
import static io.upliftstream.sql.FunctionsTest.WIDTH;
import static io.upliftstream.sql.FunctionsTest.encode;
import static io.upliftstream.sql.FunctionsTest.header;
import static io.upliftstream.sql.FunctionsTest.segmentation;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.PayloadReference;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.Tensor;
import io.upliftstream.schemas.TensorCodec;
import io.upliftstream.schemas.TensorFormat;
import io.upliftstream.schemas.TensorLayout;
import io.upliftstream.schemas.TensorType;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.schemas.WireFormat;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.TableException;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Records as they may stand on a topic: in either framing, with parts elsewhere, and wrong in any part. */
class RecordsTest {
    private final byte[] labels = FunctionsTest.filled(1);

    /** What the functions of tensors refuse, and what only other readers would meet. */
    @Test
    void problemsAreThoseOfEveryPart() {
        Tensor int8 = TensorCodec.encode(
                new float[2 * WIDTH * HEIGHT],
                new TensorFormat(
                        List.of(2, HEIGHT, WIDTH),
                        TensorLayout.CHW,
                        4,
                        null,
                        TensorType.INT8,
                        true,
                        Compression.NONE,
                        256));
        byte[] unscaled = encode(FeatureRecord.newBuilder()
                .setHeader(header(GEOMETRY))
                .setName("features")
                .setTensor(
                        Tensor.newBuilder(int8).setScales(List.of(1f, 1f, 1f)).build())
                .build());
        assertThat(new TensorFunctions.TensorValues().eval(unscaled)).isNull();
        assertThat(new RecordFunctions.Problem().eval(unscaled)).contains("3 scales and 2 zero points");

        SegmentationRecord good = segmentation(labels, MaskEncoding.RLE).build();
        Mask confidence = MaskCodec.encode(MaskEncoding.RAW_ZSTD, labels, WIDTH, HEIGHT);
        for (Mask wrong : List.of(
                Mask.newBuilder(confidence)
                        .setData(ByteBuffer.wrap(new byte[3]))
                        .build(),
                MaskCodec.encode(MaskEncoding.RAW_ZSTD, new byte[4], 2, 2))) {
            byte[] record = encode(
                    SegmentationRecord.newBuilder(good).setConfidence(wrong).build());
            assertThat(new MaskFunctions.MaskLabels().eval(record)).isNotNull();
            assertThat(new RecordFunctions.Problem().eval(record)).contains("expected: ");
        }
        assertThat(new RecordFunctions.Problem()
                        .eval(encode(SegmentationRecord.newBuilder(good)
                                .setConfidence(confidence)
                                .build())))
                .isNull();
    }

    private static Row all(Sql sql) throws Exception {
        return sql.rows("SELECT CLASS_AT(v, 10, 10.5), CLASS_HISTOGRAM(v)['sky'], CARDINALITY(MASK_LABELS(v)),"
                        + " RECORD_HEADER(v).camera_id, RECORD_PROBLEM(v) FROM topic")
                .get(0);
    }

    @Test
    void aPacketsHeaderIsItsOwn() throws Exception {
        VideoPacket packet = VideoPacket.newBuilder()
                .setCameraId("gate")
                .setSequence(7)
                .setCaptureTimeMicros(17)
                .setCaptureClock(CaptureClock.CAMERA)
                .setCodec(VideoCodec.H264)
                .setKeyFrame(true)
                .setData(ByteBuffer.wrap(new byte[] {1}))
                .build();
        Row row = new Sql()
                .values("topic", List.of(encode(packet)))
                .run("LOAD MODULE uplift")
                .rows("SELECT RECORD_HEADER(v).camera_id, RECORD_HEADER(v).`sequence` FROM topic")
                .get(0);
        assertThat(row).isEqualTo(Row.of("gate", 7L));
    }

    @Test
    void bothFramingsAreReadAndWhatIsElsewhereIsFetched(@TempDir Path claims) throws Exception {
        SegmentationRecord record = segmentation(labels, MaskEncoding.RLE).build();
        Row expected = all(new Sql().values("topic", List.of(encode(record))).run("LOAD MODULE uplift"));
        assertThat(expected.getField(4)).isNull();
        assertThat(all(new Sql()
                        .values("topic", List.of(WireFormat.encode(record, 7)))
                        .run("LOAD MODULE uplift")))
                .isEqualTo(expected);

        checkIn(record, claims);
        byte[] referring = WireFormat.encode(record, 7);
        String module = "LOAD MODULE uplift WITH ('claim-check.directory' = '" + claims.toUri() + "')";
        assertThat(all(new Sql().values("topic", List.of(referring)).run(module)))
                .isEqualTo(expected);
        Row without = all(new Sql().values("topic", List.of(referring)).run("LOAD MODULE uplift"));
        assertThat(without.getField(0)).isNull();
        assertThat(without.getField(4)).asString().contains("told of the job's claim check");

        removeFiles(claims);
        Row missing = all(new Sql().values("topic", List.of(referring)).run(module));
        assertThat(missing.getField(0)).isNull();
        assertThat(missing.getField(4)).asString().contains("cannot be read: ");
    }

    private static void checkIn(SegmentationRecord record, Path claims) throws IOException {
        Payloads.checkIn(record, 0, payload -> {
            String sha256 = Payloads.sha256(payload);
            Path file = claims.resolve(Payloads.name(LocalDate.of(2026, 3, 1), sha256));
            Files.createDirectories(file.getParent());
            byte[] bytes = new byte[payload.remaining()];
            payload.duplicate().get(bytes);
            Files.write(file, bytes);
            return new PayloadReference("s3://elsewhere/" + claims.relativize(file), (long) bytes.length, sha256);
        });
    }

    private static void removeFiles(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
    }

    @Test
    void aStoreThatCannotReadIsAskedWhetherThereIsAnything(@TempDir Path claims) throws Exception {
        SegmentationRecord record = segmentation(labels, MaskEncoding.RLE).build();
        checkIn(record, claims);
        Records records = new Records(new Configuration().set(Records.CLAIM_CHECK_DIRECTORY, "late:" + claims));

        assertThatThrownBy(() -> records.fetch(record))
                .isInstanceOf(TableException.class)
                .hasMessageContaining("no bytes");
        removeFiles(claims);
        assertThatThrownBy(() -> records.fetch(record))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("no bytes");
    }

    /** A record can name an id; it cannot make the registry go away. */
    @Test
    void aRegistryThatIsAwayFailsTheQuery() {
        byte[] record = WireFormat.encode(segmentation(labels, MaskEncoding.RLE).build(), 7);
        Sql sql = new Sql()
                .values("topic", List.of(record))
                .run("LOAD MODULE uplift WITH ('schema-registry.url' = 'http://127.0.0.1:1')");
        assertThatThrownBy(() -> all(sql))
                .hasStackTraceContaining("no connection to http://127.0.0.1:1 (expected: a schema registry there)");
        for (String url : List.of("registry", "http://schema_registry:8081", "http://a:8081,http://b:8081")) {
            assertThatThrownBy(() -> new Sql().run("LOAD MODULE uplift WITH ('schema-registry.url' = '" + url + "')"))
                    .hasStackTraceContaining("schema-registry.url: " + url + " (expected: one URL, without");
        }
    }
}
