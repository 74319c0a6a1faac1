package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.upliftstream.model.Label;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.Geometry;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.ModelIdentity;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.picture.PrincipalColours;
import io.upliftstream.tools.stream.Classes;
import io.upliftstream.tools.stream.RecordKind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What becomes of records before a browser gets something to draw. */
class MomentTest {
    private static final Path GOLDEN = Path.of("..", "schemas", "src", "test", "resources", "golden");
    /** Of the fuzz: a few in every build, more by hand. */
    private static final double FUZZ_SECONDS = Double.parseDouble(System.getProperty("uplift.fuzz-seconds", "2"));

    @SuppressWarnings("NullAway") // a record may have no value
    private static SpecificRecord read(RecordKind kind, byte @Nullable [] value) {
        SpecificRecord record = kind.decode(new ConsumerRecord<>("topic", 0, 0, null, value), new RecordDecoder());
        if (kind.dense()) {
            Moment.check(record);
        }
        return record;
    }

    private static List<Moment.Part> parts(SpecificRecord record, List<String> unreadable) {
        RecordHeader header = RecordKind.header(record);
        return new Moment(1, header, List.of(record), 0)
                .parts(
                        Moment.KINDS,
                        new PartCache(1 << 20),
                        new Classes(List.of(), ""),
                        (features, planes) -> PrincipalColours.fitted(
                                planes, features.getTensor().getShape().get(0)),
                        (bad, reason) -> unreadable.add(reason));
    }

    /** Models are switched while the job runs: the configured bundle's names are not those of every record. */
    @Test
    void classesAreThoseOfTheRecordsOwnModel() throws IOException {
        Classes street = new Classes(List.of(new Label(0, "road", 0x804080), new Label(1, "car", 0x00008e)), "a1");
        SegmentationRecord.Builder record = SegmentationRecord.newBuilder(
                        Hostile.labels("gate", 1, 8, 8, new byte[] {1, 64}))
                .setClasses(2);
        assertThat(street.json(record.build())).as("no names, no model").isEmpty();
        assertThat(classes(street, record.setClassNames(List.of("road", "car"))))
                .isEmpty();
        assertThat(classes(street, record.setClassNames(List.of("car", "tree"))))
                .isEqualTo("[0 car #00008e, 1 tree #5583f2]");
        record.setClassNames(List.of());
        assertThat(classes(street, record.setHeader(madeBy(record.getHeader(), "a1"))))
                .isEmpty();
        assertThat(classes(street, record.setHeader(madeBy(record.getHeader(), "b2"))))
                .isEqualTo("[0 class 0 #f25555, 1 class 1 #5583f2]");
        assertThat(classes(new Classes(List.of(), ""), record)).startsWith("[0 class 0 ");
    }

    private static RecordHeader madeBy(RecordHeader header, String sha256) {
        return RecordHeader.newBuilder(header)
                .setModel(new ModelIdentity("model", "1", sha256, "cpu-fp32"))
                .build();
    }

    /** The classes at the end of the part of a record; empty if there are none. */
    private static String classes(Classes known, SegmentationRecord.Builder record) throws IOException {
        Moment moment = new Moment(1, record.getHeader(), List.of(record.build()), 0);
        Moment.Part part = moment.parts(
                        Set.of("labels"),
                        new PartCache(1 << 20),
                        known,
                        (features, planes) -> PrincipalColours.fitted(planes, 1),
                        (bad, reason) -> {})
                .get(0);
        int length = part.data().length - 2;
        assertThat(part.data()).startsWith(1, 64);
        assertThat(part.about()).containsEntry("classes", length);
        List<String> classes = new ArrayList<>();
        if (length > 0) {
            new ObjectMapper()
                    .readTree(part.data(), 2, length)
                    .forEach(label -> classes.add(String.join(
                            " ",
                            label.get("id").asText(),
                            label.get("name").asText(),
                            label.get("color").asText())));
        }
        return classes.isEmpty() ? "" : classes.toString();
    }

    @Test
    void aValueThatIsNotThereIsNoRecord() {
        for (RecordKind kind : RecordKind.values()) {
            assertThatThrownBy(() -> read(kind, null)).isInstanceOf(MalformedRecordException.class);
        }
    }

    @Test
    void aTensorWithoutSizesIsRefused() {
        assertThatThrownBy(() -> read(RecordKind.FEATURES, SingleObject.encode(Hostile.shapeless("gate", 1))))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessage("tensor: of 0 sizes (expected: three)");
    }

    @Test
    void aFewBytesThatClaimMuchAreRefusedBeforeTheyAreDecoded() {
        byte[] zeros = SingleObject.encode(Hostile.zeros("gate", 1));
        assertThat(zeros.length).isLessThan(16 << 10);
        assertThatThrownBy(() -> read(RecordKind.DEPTH, zeros))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("8192");
        byte[] wide = SingleObject.encode(Hostile.labels("gate", 1, 30_000, 30_000, new byte[] {1, 64}));
        assertThatThrownBy(() -> read(RecordKind.SEGMENTATION, wide))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining("30000 x 30000");
    }

    @Test
    void runsThatDoNotEndGoToNoBrowser() {
        List<String> unreadable = new ArrayList<>();
        SpecificRecord record = read(RecordKind.SEGMENTATION, SingleObject.encode(Hostile.endlessRun("gate", 1)));
        assertThat(parts(record, unreadable)).isEmpty();
        assertThat(unreadable).singleElement().asString().contains("a run without the end of its length");
    }

    @Test
    void aBadPayloadIsCountedOnce() {
        Moment moment = new Moment(1, Hostile.header("gate", 1, 8, 8), List.of(Hostile.endlessRun("gate", 1)), 0);
        PartCache cache = new PartCache(1 << 20);
        AtomicInteger count = new AtomicInteger();
        for (int i = 0; i < 3; i++) {
            moment.parts(
                    Moment.KINDS,
                    cache,
                    new Classes(List.of(), ""),
                    (features, planes) -> PrincipalColours.fitted(planes, 1),
                    (record, reason) -> count.incrementAndGet());
        }
        assertThat(count).hasValue(1);
    }

    @Test
    void whatIsNotFiniteOrDoesNotFitIsRefused() {
        SegmentationRecord honest = Hostile.labels("gate", 1, 8, 8, new byte[] {1, 64});
        for (double odd : new double[] {Double.NaN, Double.POSITIVE_INFINITY, 0, -1, 1e300}) {
            RecordHeader header = RecordHeader.newBuilder(honest.getHeader())
                    .setGeometry(new Geometry(8, 8, 8, 8, odd, 1.0, 0.0, 0.0))
                    .build();
            refused(SegmentationRecord.newBuilder(honest).setHeader(header).build(), "scale of the output grid");
        }
        RecordHeader other = RecordHeader.newBuilder(honest.getHeader())
                .setGeometry(new Geometry(8, 8, 4, 16, 1.0, 1.0, 0.0, 0.0))
                .build();
        refused(SegmentationRecord.newBuilder(honest).setHeader(other).build(), "mask: 8 x 8 (expected: 4 x 16");
        refused(SegmentationRecord.newBuilder(honest).setClasses(1 << 20).build(), "classes: 1048576");
        refused(
                SegmentationRecord.newBuilder(honest)
                        .setClassNames(Collections.nCopies(10_000, "x"))
                        .build(),
                "class names: 10000");
        refused(
                Hostile.labels("z".repeat(9_000_000), 1, 8, 8, new byte[] {1, 64}),
                "camera: 9000000 characters (expected: at most 1024)");
        RecordHeader nowhere =
                RecordHeader.newBuilder(honest.getHeader()).clearGeometry().build();
        refused(SegmentationRecord.newBuilder(honest).setHeader(nowhere).build(), "geometry: none");
    }

    private static void refused(SpecificRecord record, String message) {
        assertThatThrownBy(() -> read(RecordKind.SEGMENTATION, SingleObject.encode(record)))
                .isInstanceOf(MalformedRecordException.class)
                .hasMessageContaining(message);
    }

    @Test
    void featuresThatAreNotFiniteHaveNoColours() {
        byte[] nan = new byte[2 * 2 * 64];
        for (int i = 1; i < nan.length; i += 2) {
            nan[i] = 0x7e;
        }
        FeatureRecord record = Hostile.tensor("gate", 1, 8, List.of(2, 8, 8), Compression.NONE, nan);
        List<String> unreadable = new ArrayList<>();
        parts(read(RecordKind.FEATURES, SingleObject.encode(record)), unreadable);
        assertThat(unreadable).contains("features: NaN (expected: finite values)");
    }

    /** One such cell would end the view of depth of all cameras. */
    @Test
    void depthThatIsNotFiniteIsNotDrawn() {
        byte[] infinite = new byte[2 * 64];
        infinite[1] = 0x7c;
        FeatureRecord record = Hostile.tensor("gate", 1, 8, List.of(1, 8, 8), Compression.NONE, infinite);
        List<String> unreadable = new ArrayList<>();
        parts(read(RecordKind.DEPTH, SingleObject.encode(record)), unreadable);
        assertThat(unreadable).contains("features: Infinity (expected: finite values)");
    }

    /** Golden records with bytes changed, cut and put in: each is refused with a sentence, or has parts as it says. */
    @Test
    void mutatedRecordsAreRefusedOrDrawn() throws IOException {
        Map<RecordKind, String> seeds = Map.of(
                RecordKind.SEGMENTATION, "segmentation-rle", RecordKind.DEPTH, "depth", RecordKind.FAILURES, "failure");
        Random random = new Random(20261128);
        long end = System.nanoTime() + (long) (FUZZ_SECONDS * 1e9);
        int drawn = 0;
        int refused = 0;
        while (System.nanoTime() < end) {
            for (Map.Entry<RecordKind, String> seed : seeds.entrySet()) {
                byte[] value = mutated(Files.readAllBytes(GOLDEN.resolve(seed.getValue() + ".avro")), random);
                try {
                    SpecificRecord record = read(seed.getKey(), value);
                    if (seed.getKey().dense()) {
                        for (Moment.Part part : parts(record, new ArrayList<>())) {
                            assertThat(part.data().length).isLessThan(64 << 20);
                        }
                    }
                    drawn++;
                } catch (MalformedRecordException e) {
                    assertThat(e).hasMessageContaining("expected");
                    refused++;
                }
            }
        }
        System.out.printf("fuzz of records: %d read, %d refused%n", drawn, refused);
        assertThat(drawn).isPositive();
        assertThat(refused).isPositive();
    }

    private static byte[] mutated(byte[] value, Random random) {
        int header = 10; // the marker and the fingerprint: without them nothing is read
        byte[] result = value.clone();
        for (int i = random.nextInt(4); i >= 0; i--) {
            int at = header + random.nextInt(result.length - header);
            switch (random.nextInt(4)) {
                case 0 -> result[at] = (byte) random.nextInt();
                case 1 -> result[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> {
                    byte[] more = new byte[1 + random.nextInt(6)];
                    random.nextBytes(more);
                    result = ByteBuffer.allocate(result.length + more.length)
                            .put(result, 0, at)
                            .put(more)
                            .put(result, at, result.length - at)
                            .array();
                }
                default -> {
                    if (random.nextInt(8) == 0 && at > header + 1) {
                        result = Arrays.copyOf(result, at);
                    }
                }
            }
        }
        return result;
    }
}
