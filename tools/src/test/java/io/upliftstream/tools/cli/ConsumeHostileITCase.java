package io.upliftstream.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.model.Label;
import io.upliftstream.model.ModelBundle;
import io.upliftstream.schemas.Compression;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.camera.Images;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import io.upliftstream.tools.stream.FileNames;
import io.upliftstream.tools.view.Hostile;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code uplift consume} of topics on which somebody wrote what no job writes, into a directory where links lie. */
@Timeout(value = 3, unit = TimeUnit.MINUTES)
class ConsumeHostileITCase {
    private static final byte[] ROAD = {1, 64};
    private static final byte[] LARGE_ROAD = {1, (byte) 0x80, 32};

    @TempDir
    private Path directory = Path.of(".");

    private final StringWriter errors = new StringWriter();
    private EmbeddedKafka kafka;
    private KafkaProducer<String, byte[]> producer;

    @BeforeEach
    void start() throws Exception {
        kafka = EmbeddedKafka.start();
        for (String topic : List.of("camera-frames", "segmentation", "features", "failures")) {
            kafka.createTopic(topic, 1, Map.of());
        }
        producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new StringSerializer(),
                new ByteArraySerializer());
    }

    @AfterEach
    void stop() {
        producer.close();
        kafka.close();
    }

    private void send(String topic, byte @Nullable [] value) throws Exception {
        producer.send(new ProducerRecord<>(topic, "evil", value)).get();
    }

    private void send(String topic, SpecificRecord record) throws Exception {
        send(topic, SingleObject.encode(record));
    }

    private int consume(String... arguments) {
        String[] all = Stream.concat(
                        Stream.of("consume", "--bootstrap-servers=" + kafka.bootstrapServers()), Stream.of(arguments))
                .toArray(String[]::new);
        return Uplift.run(all, new PrintWriter(errors, true));
    }

    @Test
    void whatIsNotReadableIsCountedAndTheNextIsRead() throws Exception {
        send("features", (byte[]) null);
        send("features", Hostile.shapeless("evil", 1));
        send("features", Hostile.tensor("evil", 2, 8, List.of(2, 8, 8), Compression.NONE, new byte[3]));
        send("features", Hostile.tensor("gate", 3, 8, List.of(2, 8, 8), Compression.NONE, new byte[256]));
        assertThat(consume("features", "--format=npy", "--output=" + directory)).isOne();
        assertThat(directory).isDirectoryContaining("glob:**/gate_000003.features.npy");
        assertThat(consume("features")).isOne();

        send("segmentation", (byte[]) null);
        send("segmentation", Hostile.endlessRun("evil", 1));
        send("segmentation", Hostile.labels("evil", 2, 30_000, 30_000, ROAD));
        send("segmentation", Hostile.labels("tiny", 2, 8, 8, ROAD));
        send("segmentation", Hostile.labels("gate", 4, 64, 64, LARGE_ROAD));
        for (String format : List.of("json", "npy", "png", "mp4")) {
            assertThat(consume("segmentation", "--format=" + format, "--output=" + directory))
                    .as(() -> format + ": " + errors)
                    .isOne();
        }
        assertThat(directory)
                .isDirectoryContaining("glob:**/gate_000004.segmentation.npy")
                .isDirectoryContaining("glob:**/gate_000004.segmentation.png")
                .isDirectoryContaining("glob:**/gate.segmentation.mp4")
                .isDirectoryNotContaining("glob:**/*.part");
        send("failures", (byte[]) null);
        assertThat(consume("failures")).isOne();
    }

    /** Frames behind the classes are taken from the input topic alone, and only if they are of the size that is told. */
    @Test
    void aFrameThatIsNotTheRecordsIsNotDrawn() throws Exception {
        send("camera-frames", Images.png(new BufferedImage(16, 16, BufferedImage.TYPE_INT_RGB)));
        send("camera-frames", new byte[] {(byte) 0xff, (byte) 0xd8, 1, 2, 3});
        send("segmentation", Hostile.labels("gate", 0, 8, 8, ROAD));
        send("segmentation", Hostile.labels("gate", 1, 8, 8, ROAD));
        send("segmentation", Hostile.labels("gate", 1L << 40, 8, 8, ROAD));
        assertThat(consume("segmentation", "--format=png", "--output=" + directory))
                .isZero();
        byte[] picture = Files.readAllBytes(directory.resolve("gate_000000.segmentation.png"));
        assertThat(Images.decode(picture).getWidth()).isEqualTo(8);
        assertThat(directory).isDirectoryContaining("glob:**/gate_000001.segmentation.png");
    }

    /** Class 1 of the configured bundle is another's class 1, which may have a name that the bundle knows. */
    @Test
    void classesHaveTheColoursOfTheirNamesWhicheverModelMadeTheRecord() throws Exception {
        send("segmentation", Hostile.labels("gate", 0, 8, 8, ROAD));
        send(
                "segmentation",
                SegmentationRecord.newBuilder(Hostile.labels("gate", 1, 8, 8, ROAD))
                        .setClasses(2)
                        .setClassNames(List.of("lawn", "sky"))
                        .build());
        String bundle = "--set=uplift.model.bundle=" + Topics.BUNDLE;
        assertThat(consume("segmentation", "--format=png", bundle, "--output=" + directory))
                .isZero();
        List<Label> labels = ModelBundle.load(Topics.BUNDLE).labels();
        assertThat(pixel("gate_000000.segmentation.png"))
                .isEqualTo(labels.get(1).rgb());
        assertThat(pixel("gate_000001.segmentation.png"))
                .isEqualTo(labels.stream()
                        .filter(label -> label.name().equals("sky"))
                        .findFirst()
                        .orElseThrow()
                        .rgb());
        assertThat(directory)
                .isDirectoryContaining("glob:**/legend.png")
                .isDirectoryContaining("glob:**/legend-2.png")
                .isDirectoryNotContaining("glob:**/legend-3.png");
    }

    private int pixel(String name) throws IOException {
        return Images.decode(Files.readAllBytes(directory.resolve(name))).getRGB(4, 4) & 0xffffff;
    }

    @Test
    void linksAreReplacedAndNotFollowed() throws Exception {
        Path output = Files.createDirectory(directory.resolve("out"));
        Path victim = Files.writeString(directory.resolve("victim"), "mine");
        for (String name : List.of(
                "gate_000001.segmentation.png",
                "gate_000001.segmentation.npy",
                "gate.segmentation.mp4",
                "gate_000000.png",
                "legend.png")) {
            Files.createSymbolicLink(output.resolve(name), victim);
        }
        byte[] png = Images.png(new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB));
        producer.send(new ProducerRecord<>("camera-frames", "gate", png)).get();
        send("segmentation", Hostile.labels("gate", 1, 64, 64, LARGE_ROAD));
        for (String format : List.of("png", "npy", "mp4")) {
            assertThat(consume(
                            "segmentation",
                            "--format=" + format,
                            "--output=" + output,
                            "--set=uplift.model.bundle=" + Path.of("..", "model", "bundles", "street")))
                    .as(() -> format + ": " + errors)
                    .isZero();
        }
        assertThat(consume("frames", "--format=image", "--output=" + output)).isZero();
        assertThat(victim).hasContent("mine");
        assertThat(files(output)).hasSize(5).allMatch(Files::isRegularFile).noneMatch(Files::isSymbolicLink);
    }

    @Test
    void camerasOfSimilarNamesHaveFilesOfTheirOwn() throws Exception {
        List<String> cameras =
                List.of("lobby/1", "lobby 1", "東口", "西口", "Gate", "gate", "z".repeat(1000), "z".repeat(1001), "../out");
        for (String camera : cameras) {
            send("segmentation", Hostile.labels(camera, 1, 8, 8, ROAD));
        }
        Path output = directory.resolve("names");
        assertThat(consume("segmentation", "--format=npy", "--output=" + output))
                .isZero();
        assertThat(files(output))
                .hasSize(cameras.size())
                .contains(output.resolve(FileNames.of("東口") + "_000001.segmentation.npy"));
    }

    private static List<Path> files(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.toList();
        }
    }
}
