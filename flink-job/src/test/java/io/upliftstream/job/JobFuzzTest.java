package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import io.upliftstream.job.InputOptions.InputFormat;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.ModelAction;
import io.upliftstream.schemas.ModelCommand;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SchemaRegistry;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.schemas.VideoCodec;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.schemas.WireFormat;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Whatever a record's value or an option says, the answer is a frame, settings, or one sentence. Runs the seeds as a test;
 * docs/reliability.md says how to fuzz.
 */
class JobFuzzTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    static Path directory;

    static Stream<byte[]> values() {
        return Stream.of(
                SingleObject.encode(TestFrames.record("north", 7)),
                TestFrames.jpeg((byte) 1, (byte) 2),
                new byte[0],
                // Values of other kinds, which are described.
                HexFormat.of().parseHex("0000000167640028acd90000000165b8"),
                HexFormat.of().parseHex("000000002a0a6e6f727468"),
                "{\"image\": \"/9j/4AAQ\"}".getBytes(StandardCharsets.UTF_8),
                // A finding: a union branch that there is not.
                HexFormat.of().parseHex("c3013f1d316c82ae7fd10a6e6f7274680ef0b1f122000000060008ffd8ff07000000"),
                // Videos: a record, bare, and in the other framing.
                SingleObject.encode(packet(VideoCodec.H264)),
                SingleObject.encode(packet(VideoCodec.AV1)),
                Clip.packets("long-b.h264").get(0),
                Clip.packets("open.h265").get(0),
                WireFormat.encode(packet(VideoCodec.H265), StubRegistry.ID));
    }

    private static VideoPacket packet(VideoCodec codec) {
        byte[] data = Clip.packets("closed.h265").get(0);
        VideoPacket packet = SingleObject.decode(
                Objects.requireNonNull(
                        Clip.record("gate", 1, "closed.h265", data).value()),
                VideoPacket.class);
        return VideoPacket.newBuilder(packet)
                .setCodec(codec)
                .setParameterSets(ByteBuffer.wrap(data, 0, 40).slice())
                .build();
    }

    @MethodSource("values")
    @FuzzTest
    void value(byte[] bytes) {
        parse(new FrameParser(InputFormat.AUTO, 1L << 20), TestFrames.raw(1, "camera", bytes));
    }

    private static Optional<Frame> parse(FrameParser parser, RawFrame record) {
        try {
            Frame frame = parser.parse(record);
            assertThat(frame.cameraId()).isNotBlank().hasSizeLessThanOrEqualTo(BoundedText.MAX_ID);
            assertThat(frame.trace().length()).isLessThanOrEqualTo(55 + TraceContext.MAX_TRACESTATE);
            Frame.Packet packet = frame.packet();
            if (packet != null && packet.parameterSets() != null) {
                assertThat(packet.parameterSets()).hasSizeLessThanOrEqualTo(64 << 10);
            }
            return Optional.of(frame);
        } catch (FrameProblem problem) {
            assertThat(problem).message().contains("expected").hasLineCount(1);
            assertThat(problem.getMessage()).hasSizeLessThanOrEqualTo(FrameProblem.MAX_MESSAGE);
            return Optional.empty();
        }
    }

    private static final List<StubRegistry> REGISTRIES = new ArrayList<>();
    private static final List<FrameParser> REGISTERED = new ArrayList<>();

    /** One for each schema of a writer: of a frame, a packet, another record, and of a frame in a later version. */
    @BeforeAll
    static void startRegistries() throws IOException {
        String published = SingleObject.schema(CameraFrame.class).toString();
        String later = published.substring(0, published.length() - 2)
                + ", {\"name\": \"lens\", \"type\": {\"type\": \"array\", \"items\": \"double\"}, \"default\": []}]}";
        for (Schema schema : List.of(
                SingleObject.schema(CameraFrame.class),
                SingleObject.schema(VideoPacket.class),
                SingleObject.schema(FrameDropped.class),
                new Schema.Parser().parse(later))) {
            StubRegistry registry = new StubRegistry();
            registry.schema = schema;
            REGISTRIES.add(registry);
            REGISTERED.add(new FrameParser(
                    InputFormat.AUTO,
                    1L << 20,
                    new RecordDecoder(
                            new SchemaRegistry(URI.create(registry.url()), Duration.ofSeconds(30), null, null))));
        }
    }

    @AfterAll
    static void stopRegistries() {
        REGISTRIES.forEach(StubRegistry::close);
    }

    static Stream<byte[]> registered() {
        byte[] later = WireFormat.encode(TestFrames.record("north", 7), 3);
        return Stream.of(
                WireFormat.encode(TestFrames.record("north", 7), 0),
                WireFormat.encode(packet(VideoCodec.H264), 1),
                WireFormat.encode(TestFrames.record("north", 7), 2),
                Arrays.copyOf(later, later.length + 1));
    }

    /** A value in the wire format, whose id stands for one of the registries. */
    @MethodSource("registered")
    @FuzzTest
    void registered(byte[] bytes) {
        if (bytes.length < 5) {
            return;
        }
        byte[] value = bytes.clone();
        ByteBuffer.wrap(value).put((byte) 0).putInt(StubRegistry.ID);
        parse(REGISTERED.get(Math.floorMod(bytes[4], REGISTERED.size())), TestFrames.raw(1, "camera", value));
    }

    static Stream<byte[]> headers() {
        String idr = "\0\0\1\145\210\204";
        return Stream.of(
                        "video-codec=h264\nvideo-key-frame=1\nvideo-capture-time-micros=17\nvideo-sequence=7\n\n" + idr,
                        "video-codec=av1\n\n\22\0\12\13\0\0\0\4",
                        "video-codec=vp9\r\n\n" + idr,
                        "video-codec=h265\nvideo-sequence=\n\n" + idr,
                        "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate=a=b,c=d\n\n"
                                + idr,
                        "\n\n"
                                + new String(
                                        SingleObject.encode(TestFrames.record("north", 7)),
                                        StandardCharsets.ISO_8859_1))
                .map(text -> text.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** A header in each line, its name before an equals sign, then an empty line and the value. */
    @MethodSource("headers")
    @FuzzTest
    void headers(byte[] bytes) throws IOException {
        String[] parts = new String(bytes, StandardCharsets.ISO_8859_1).split("\n\n", 2);
        byte[] value = parts[parts.length - 1].getBytes(StandardCharsets.ISO_8859_1);
        ConsumerRecord<byte[], byte[]> record = new ConsumerRecord<>(
                "camera-frames",
                3,
                42,
                TestFrames.RECORDED,
                TimestampType.CREATE_TIME,
                4,
                value.length,
                "gate".getBytes(StandardCharsets.UTF_8),
                value,
                new RecordHeaders(),
                Optional.empty());
        for (String line : parts[0].split("\n", -1)) {
            int equals = Math.max(0, line.indexOf('='));
            record.headers()
                    .add(
                            line.substring(0, equals),
                            line.substring(Math.min(equals + 1, line.length())).getBytes(StandardCharsets.ISO_8859_1));
        }
        RawFrame raw = RawFrame.of(record);
        DataOutputSerializer written = new DataOutputSerializer(16);
        new RawFrame.Serializer().serialize(raw, written);
        RawFrame read = new RawFrame.Serializer().deserialize(new DataInputDeserializer(written.getCopyOfBuffer()));
        assertThat(read).usingRecursiveComparison().isEqualTo(raw);
        parse(new FrameParser(InputFormat.AUTO, 1L << 20), raw).ifPresent(frame -> {
            VideoHeaders video = raw.video();
            String sequence = video == null ? null : video.sequence();
            boolean numbered = value[0] == (byte) 0xc3 && value[1] == 1; // a CameraFrame, with a number of its own
            assertThat(frame.sequence())
                    .matches(number -> numbered
                            || number
                                    == (frame.packet() == null || sequence == null
                                            ? raw.offset()
                                            : Long.parseLong(sequence)));
        });
    }

    static Stream<byte[]> commands() {
        ModelCommand activate = ModelCommand.newBuilder()
                .setId("c-1")
                .setAction(ModelAction.ACTIVATE)
                .setBundle("s3://models/street")
                .setSha256("0af7".repeat(16))
                .setFromCaptureTimeMicros(1_700_000_000_000_000L)
                .build();
        return Stream.concat(
                Stream.of(SingleObject.encode(activate)),
                Stream.of(
                                "{\"id\": \"c-1\", \"action\": \"ACTIVATE\", \"bundle\": \"/models/street\","
                                        + " \"sha256\": \"%s\", \"fromCaptureTimeMicros\": 17}"
                                                .formatted("0af7".repeat(16)),
                                "{\"id\": \"c-2\", \"action\": \"HEAD_OFF\", \"head\": \"depth\"}",
                                "{\"id\": \"c-3\", \"action\": \"STATUS\", \"two\\nlines\": null}",
                                "{\"id\": \"c-4\", \"action\": \"STATUS\", \"fromCaptureTimeMicros\": 1e9}")
                        .map(text -> text.getBytes(StandardCharsets.UTF_8)));
    }

    @MethodSource("commands")
    @FuzzTest
    void command(byte[] bytes) {
        try {
            ModelCommand command = CommandReader.read(bytes);
            assertThat(command.getId()).matches("[!-~]{1,100}");
            assertThat(command.getAction()).isNotEqualTo(ModelAction.UNKNOWN);
            ModelCommand again = CommandReader.read(SingleObject.encode(command));
            assertThat(again.getFromCaptureTimeMicros()).isEqualTo(command.getFromCaptureTimeMicros());
            assertThat(again.getId()).isEqualTo(command.getId());
        } catch (RefusedException e) {
            assertThat(e).message().contains("expected").hasLineCount(1);
        }
    }

    static Stream<byte[]> bundles() {
        return Stream.of(
                        "/models/street",
                        "file:/models/./street",
                        "s3://models/city/street",
                        "s3://models/city/../street",
                        "/models/../etc",
                        "/models/%2e%2e/etc",
                        "file:/models/\0")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    /** The URI of a command's bundle, where the job takes only some. */
    @MethodSource("bundles")
    @FuzzTest
    void bundle(byte[] uri) {
        try {
            URI source = new BundleStore(ALLOWED)
                    .source(new String(uri, StandardCharsets.UTF_8))
                    .toUri();
            boolean local = source.getScheme() == null || source.getScheme().equals("file");
            assertThat(source.getAuthority()).isEqualTo(local ? null : "models");
            assertThat(Path.of(source.getPath()).normalize())
                    .isEqualTo(Path.of(source.getPath()))
                    .startsWithRaw(Path.of(local ? "/models" : "/city"));
        } catch (RefusedException e) {
            assertThat(e).message().contains("expected").hasLineCount(1);
        }
    }

    private static final JobSettings ALLOWED = TestFrames.settings(
            "uplift.control.topic", "control", "uplift.control.bundles.allowed", "/models, s3://models/city");

    static Stream<byte[]> listings() {
        return Stream.of(
                        "{\"files\": {\"labels.json\": \"0a\", \"cpu-fp32/backbone.pt\": \"0b\"}}",
                        "{\"files\": {\"../elsewhere\": \"0a\"}}",
                        "{\"files\": {\"%sx\": \"0a\"}}".formatted("x/".repeat(4000)),
                        "{\"files\": []}",
                        "{\"files\"")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    /** The manifest of a command's bundle, before any of its files is fetched. */
    @MethodSource("listings")
    @FuzzTest
    void listing(byte[] manifest) {
        Path home = Path.of("/home");
        try {
            assertThat(BundleStore.names(manifest, new org.apache.flink.core.fs.Path("s3://models/street")))
                    .allMatch(name -> home.resolve(name).normalize().equals(home.resolve(name))
                            && home.resolve(name).startsWith(home));
        } catch (RefusedException e) {
            assertThat(e).message().contains("expected").hasLineCount(1);
        }
    }

    static Stream<byte[]> names() {
        return Stream.of(
                        "north",
                        "é".repeat(300),
                        "x" + "\uD83D\uDE00".repeat(300),
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                        "vendor=1,".repeat(100))
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("names")
    @FuzzTest
    void names(byte[] bytes) {
        byte[] key = Objects.requireNonNull(BoundedText.key(bytes));
        assertThat(key).hasSizeLessThanOrEqualTo(3 * BoundedText.MAX_ID);
        assertThat(BoundedText.key(key)).as("cut once").isEqualTo(key);
        String text = new String(bytes, StandardCharsets.UTF_8);
        assertThat(BoundedText.id(BoundedText.id(text))).isEqualTo(BoundedText.id(text));
        assertThat(BoundedText.oneLine(text).lines().count()).isLessThanOrEqualTo(1);
        TraceContext trace = new TraceContext(text, text);
        TraceContext state = new TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", text);
        assertThat(Math.max(trace.length(), state.length())).isLessThanOrEqualTo(55 + TraceContext.MAX_TRACESTATE);
        assertThat(new TraceContext(state.traceparent(), state.tracestate())).isEqualTo(state);
    }

    static Stream<byte[]> assignments() {
        return Stream.of(
                        "uplift.mode=live\nuplift.max-age=500 ms\nuplift.parallelism=2",
                        "uplift.frame.max-bytes=4 mb\nuplift.kafka.properties.security.protocol=SSL",
                        "uplift.mode=dead",
                        "state.backend.type=hashmap")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("assignments")
    @FuzzTest
    void assignment(byte[] lines) {
        List<String> assignments =
                new String(lines, StandardCharsets.UTF_8).lines().toList();
        settings(() -> JobSettings.load(null, Map.of(), assignments));
    }

    static Stream<byte[]> files() {
        return Stream.of(
                        "uplift.mode: live\nuplift.max-age: 500 ms\n",
                        "uplift:\n  model:\n    bundle: /models/street\n",
                        "- a list",
                        "a: [")
                .map(text -> text.getBytes(StandardCharsets.UTF_8));
    }

    @MethodSource("files")
    @FuzzTest
    void file(byte[] yaml) throws IOException {
        Path file = Files.write(directory.resolve("job.yaml"), yaml);
        settings(() -> JobSettings.load(file, Map.of(), List.of()));
    }

    private interface Loading {
        JobSettings load();
    }

    private static void settings(Loading loading) {
        try {
            assertThat(loading.load().get(ServingOptions.MODE)).isNotNull();
        } catch (StartupException e) {
            assertThat(e.exitCode()).isBetween(2, 3);
        }
    }
}
