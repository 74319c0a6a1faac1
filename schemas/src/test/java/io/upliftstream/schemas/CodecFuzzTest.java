package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.github.luben.zstd.Zstd;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.specific.SpecificRecord;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever is on a topic, a codec returns what it promises or says that the record is malformed. Runs the seeds as a test;
 * docs/reliability.md says how to fuzz.
 */
class CodecFuzzTest {
    private static final int MAX_SIDE = 1 << 12;

    static Stream<byte[]> records() {
        // A finding, a CameraFrame with a union branch that there is not; then lengths of -3, 2^31 - 101 and 2^62.
        return Stream.concat(
                GoldenRecords.all().values().stream().map(SingleObject::encode),
                Stream.of(
                                "c3013f1d316c82ae7fd10a6e6f7274680ef0b1f122000000060008ffd8ff07000000",
                                "c3013f1d316c82ae7fd105",
                                "c3013f1d316c82ae7fd1b6feffff0f",
                                "c3013f1d316c82ae7fd180808080808080808001")
                        .map(HexFormat.of()::parseHex));
    }

    @MethodSource("records")
    @FuzzTest
    void record(byte[] bytes) {
        SingleObject.RECORDS.forEach(type -> {
            try {
                assertThat(SingleObject.encode(SingleObject.decode(bytes, type)))
                        .as("a record that was read can be written")
                        .isNotEmpty();
            } catch (MalformedRecordException e) {
                assertThat(e).hasMessageContaining("expected");
            }
        });
    }

    /** In the place of every payload. */
    private static final byte[] PAYLOAD = new byte[64];

    static Stream<byte[]> claims() {
        String sha256 = Payloads.sha256(ByteBuffer.wrap(PAYLOAD));
        String uri = "s3://claims/" + Payloads.name(LocalDate.of(2026, 3, 1), sha256);
        return GoldenRecords.all().values().stream()
                .filter(record -> !(record instanceof CameraFrame || record instanceof VideoPacket))
                .map(record -> {
                    try {
                        Payloads.checkIn(record, 0, bytes -> new PayloadReference(uri, (long) PAYLOAD.length, sha256));
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                    return SingleObject.encode(record);
                });
    }

    @MethodSource("claims")
    @FuzzTest
    void claim(byte[] bytes) {
        List<String> asked = Collections.synchronizedList(new ArrayList<>());
        PayloadStore store = name -> {
            asked.add(name);
            return new ByteArrayInputStream(PAYLOAD);
        };
        try {
            SpecificRecord record = SingleObject.decode(bytes);
            assertThat(Payloads.fetch(record, store, 1 << 16, Duration.ofSeconds(1)))
                    .isEqualTo((long) asked.size() * PAYLOAD.length);
            assertThat(Payloads.fetch(record, store)).as("nothing is elsewhere").isZero();
            assertThat(SingleObject.encode(record)).isNotEmpty();
        } catch (MalformedRecordException e) {
            assertThat(e).message().contains("(expected: ").hasLineCount(1);
        }
        Path claims = Path.of("/claims");
        assertThat(asked)
                .allMatch(name -> claims.resolve(name).normalize().equals(claims.resolve(name))
                        && claims.resolve(name).startsWith(claims));
    }

    static Stream<byte[]> written() {
        Schema later = SingleObject.schema(CameraFrame.class);
        String fields = later.toString();
        String more = fields.substring(0, fields.length() - 2)
                + ", {\"name\": \"lens\", \"type\": {\"type\": \"array\", \"items\": \"double\"}, \"default\": []}]}";
        byte[] frame = body(GoldenRecords.all().get("camera-frame"));
        return Stream.concat(
                GoldenRecords.all().values().stream()
                        .map(record ->
                                written(SingleObject.schema(record.getClass()).toString(), body(record))),
                Stream.of(written(more, Arrays.copyOf(frame, frame.length + 1))));
    }

    private static byte[] body(SpecificRecord record) {
        byte[] single = SingleObject.encode(record);
        return Arrays.copyOfRange(single, SingleObject.HEADER_BYTES, single.length);
    }

    private static byte[] written(String schema, byte[] body) {
        byte[] json = schema.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(json.length + 1 + body.length)
                .put(json)
                .put((byte) 0)
                .put(body)
                .array();
    }

    /** The writer's schema, as a registry might have it, a zero, and what was written with it. */
    @MethodSource("written")
    @FuzzTest
    void written(byte[] bytes) {
        int end = 0;
        while (end < bytes.length && bytes[end] != 0) {
            end++;
        }
        Schema schema;
        try {
            schema = new Schema.Parser().parse(new String(bytes, 0, end, StandardCharsets.UTF_8));
        } catch (RuntimeException | StackOverflowError e) {
            return; // the registry's client refuses it
        }
        for (Class<? extends SpecificRecord> type : SingleObject.RECORDS) {
            SingleObject.Codec codec = SingleObject.codec(type);
            try {
                WriterSchema.check(schema, codec.current);
                SpecificRecord record =
                        SingleObject.read(codec.reader(schema), bytes, Math.min(end + 1, bytes.length), type);
                assertThat(SingleObject.encode(record)).isNotEmpty();
            } catch (MalformedRecordException e) {
                assertThat(e).message().contains("(expected: ").hasLineCount(1);
            }
        }
    }

    static Stream<byte[]> masks() {
        Stream<byte[]> whole = Stream.of(MaskEncoding.RLE, MaskEncoding.PNG, MaskEncoding.RAW_ZSTD)
                .map(encoding -> MaskCodec.encode(encoding, GoldenRecords.labels(), 24, 16))
                .map(mask -> join(mask.getData(), index(MaskEncoding.values(), mask.getEncoding()), 24, 16));
        // A finding: a PNG with a chunk of another CRC-32.
        byte[] damaged = Base64.getDecoder()
                .decode(
                        "AQAYABCJUE5HDQoaCgAAAA1JSERSAAAAGABSAAAAGAAAABAIAAAAAClP4EkAAABSSURBVHhelY9BDsAwCMO6jab0/w9mAVXtpJ3i"
                                + "I5as0FpyJXfyJGYRddfEr2JmvTOli++WqhCAKV2sj04FwBhM6YKNvaUqxJ0pXayPTsXd54x4AcjFJUPYNv16AACuQmCC");
        Stream<byte[]> claims = Stream.of(
                mask(MaskEncoding.RLE, 8, 8, HexFormat.of().parseHex("018080808004")),
                mask(MaskEncoding.RLE, 8, 8, HexFormat.of().parseHex("0180")),
                mask(MaskEncoding.RLE, 8, 8, HexFormat.of().parseHex("014001")),
                mask(MaskEncoding.RLE, -1, -64, HexFormat.of().parseHex("0140")),
                mask(MaskEncoding.RAW_ZSTD, 8, 8, Zstd.compress(new byte[1 << 20])),
                mask(MaskEncoding.RAW_ZSTD, 8, 8, Arrays.copyOf(Zstd.compress(new byte[64]), 12)),
                mask(MaskEncoding.RAW_ZSTD, 8, 8, HexFormat.of().parseHex("28b52ffd0088010000")),
                mask(MaskEncoding.PNG, 8, 8, GreyPng.encode(new byte[16], 4, 4)));
        return Stream.of(whole, Stream.of(damaged), claims).flatMap(seeds -> seeds);
    }

    private static byte[] mask(MaskEncoding encoding, int width, int height, byte[] data) {
        return join(ByteBuffer.wrap(data), index(MaskEncoding.values(), encoding), width, height);
    }

    /** Encoding, width and height (a byte and two shorts), then the data. */
    @MethodSource("masks")
    @FuzzTest
    void mask(byte[] bytes) {
        if (bytes.length < 5) {
            return;
        }
        ByteBuffer in = ByteBuffer.wrap(bytes);
        MaskEncoding encoding = pick(MaskEncoding.values(), in.get());
        Mask mask = new Mask(encoding, side(in), side(in), in.slice(), null);
        try {
            assertThat(MaskCodec.decode(mask)).hasSize(mask.getWidth() * mask.getHeight());
        } catch (MalformedRecordException e) {
            assertThat(e).hasMessageContaining("expected");
        }
    }

    static Stream<byte[]> tensors() {
        float[] values = new float[2 * 3 * 4];
        for (int i = 0; i < values.length; i++) {
            values[i] = i / 7f - 1;
        }
        int zstd = index(TensorType.values(), TensorType.FLOAT16) | index(Compression.values(), Compression.ZSTD) << 2;
        Stream<byte[]> claims = Stream.of(
                join(ByteBuffer.wrap(Zstd.compress(new byte[1 << 20])), zstd, 1, 2, 2, 0),
                join(ByteBuffer.wrap(Zstd.compress(new byte[8])), zstd, -1, -2, 2, 0),
                join(ByteBuffer.wrap(Zstd.compress(new byte[1 << 13])), zstd, 1, 1 << 6, 1 << 6, 0));
        Stream<byte[]> whole = Stream.of(TensorType.FLOAT32, TensorType.FLOAT16, TensorType.INT8)
                .flatMap(dtype -> Stream.of(Compression.NONE, Compression.ZSTD)
                        .map(compression -> TensorCodec.encode(
                                values,
                                new TensorFormat(
                                        List.of(2, 3, 4), TensorLayout.CHW, 4, null, dtype, true, compression, 256))))
                .map(tensor -> join(
                        tensor.getData(),
                        index(TensorType.values(), tensor.getDtype())
                                | index(Compression.values(), tensor.getCompression()) << 2,
                        2,
                        3,
                        4,
                        tensor.getScales().size()));
        return Stream.concat(whole, claims);
    }

    /** Type, compression and layout (a byte), three sizes and the number of scales (shorts), then the data. */
    @MethodSource("tensors")
    @FuzzTest
    void tensor(byte[] bytes) {
        if (bytes.length < 9) {
            return;
        }
        ByteBuffer in = ByteBuffer.wrap(bytes);
        int kinds = in.get();
        List<Integer> shape = List.of(side(in), side(in), side(in));
        int scales = Math.max(0, side(in));
        Tensor tensor = new Tensor(
                shape,
                pick(TensorLayout.values(), kinds >> 4),
                pick(TensorType.values(), kinds & 3),
                IntStream.range(0, scales).mapToObj(i -> 0.5f).toList(),
                IntStream.range(0, scales).boxed().toList(),
                4,
                null,
                pick(Compression.values(), kinds >> 2 & 3),
                in.slice(),
                null);
        try {
            assertThat(TensorCodec.toFloats(tensor)).hasSize(shape.get(0) * shape.get(1) * shape.get(2));
        } catch (MalformedRecordException e) {
            assertThat(e).hasMessageContaining("expected");
        }
    }

    private static <T> T pick(T[] values, int index) {
        return values[Math.floorMod(index, values.length)];
    }

    private static <T> int index(T[] values, T value) {
        return List.of(values).indexOf(value);
    }

    /** What a schema allows, negative sizes too, but not so large that honest data would not fit the heap. */
    private static int side(ByteBuffer in) {
        return in.getShort() % MAX_SIDE;
    }

    private static byte[] join(ByteBuffer data, int first, int... shorts) {
        ByteBuffer joined =
                ByteBuffer.allocate(1 + 2 * shorts.length + data.remaining()).put((byte) first);
        for (int each : shorts) {
            joined.putShort((short) each);
        }
        return joined.put(data.duplicate()).array();
    }
}
