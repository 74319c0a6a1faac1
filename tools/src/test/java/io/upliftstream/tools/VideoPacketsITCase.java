package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.FrameEngine;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.VideoHeaders;
import io.upliftstream.model.Picture;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import javax.imageio.ImageIO;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Packets of videos from Kafka through Flink, decoder and model. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class VideoPacketsITCase {
    private static final AtomicInteger SUBMITTED = new AtomicInteger();
    private static final AtomicBoolean FAILS = new AtomicBoolean();

    @Test
    void aVideoAndItsPicturesAsPngGiveTheSameLabels() throws Exception {
        VideoClip street = VideoClip.of("street.h264");
        int frames = street.packets().size();
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "equal", 1, 1 << 20);
            for (int i = 0; i < frames; i++) {
                topics.send(
                        0,
                        "png",
                        SingleObject.encode(
                                Topics.frame("png", i, png(street.pictures().get(i)))
                                        .build()));
                topics.send(0, "avro", SingleObject.encode(street.packet("avro", i)));
                topics.send(0, "bare", street.packets().get(i), headers(i));
            }
            Topics.runWithoutRestart(topics.settings());
            assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                    .isEmpty();
            Map<String, Map<Long, byte[]>> labels =
                    topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                            .collect(Collectors.groupingBy(
                                    record -> record.getHeader().getCameraId(),
                                    Collectors.toMap(
                                            record -> record.getHeader().getSequence(),
                                            record -> MaskCodec.decode(record.getMask()))));
            assertThat(labels.keySet()).containsExactlyInAnyOrder("png", "avro", "bare");
            for (String camera : List.of("avro", "bare")) {
                long equal = 0;
                long all = 0;
                for (long i = 0; i < frames; i++) {
                    byte[] expected = labels.get("png").get(i);
                    byte[] actual = labels.get(camera).get(i);
                    all += expected.length;
                    for (int at = 0; at < expected.length; at++) {
                        equal += expected[at] == actual[at] ? 1 : 0;
                    }
                }
                System.out.printf("labels of %s equal to those of png: %.5f%n", camera, (double) equal / all);
                assertThat((double) equal / all).isGreaterThanOrEqualTo(0.999);
            }
        }
    }

    private static List<Header> headers(int sequence) {
        RecordHeaders headers = new RecordHeaders();
        headers.add(VideoHeaders.CODEC, "h264".getBytes(StandardCharsets.US_ASCII));
        headers.add(VideoHeaders.SEQUENCE, Integer.toString(sequence).getBytes(StandardCharsets.US_ASCII));
        return List.of(headers.toArray());
    }

    private static byte[] png(Picture picture) throws IOException {
        BufferedImage image = new BufferedImage(picture.width(), picture.height(), BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < picture.height(); y++) {
            for (int x = 0; x < picture.width(); x++) {
                int at = 3 * (y * picture.width() + x);
                ByteBuffer rgb = picture.rgb();
                image.setRGB(
                        x, y, (rgb.get(at) & 0xFF) << 16 | (rgb.get(at + 1) & 0xFF) << 8 | (rgb.get(at + 2) & 0xFF));
            }
        }
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        return png.toByteArray();
    }

    /** Failures so often: {@code -Duplift.video.failures=N}. */
    @Test
    void everyPictureComesOutOnceAndInOrderAfterTheOperatorFailed() throws Exception {
        int failures = Integer.getInteger("uplift.video.failures", 3);
        Map<String, VideoClip> cameras = new TreeMap<>(Map.of(
                "hall", VideoClip.of("group-250.h264"),
                "lane", VideoClip.of("open.h265"),
                "yard", VideoClip.of("intra.h264")));
        int packets = 120;
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "videos", 2, 1 << 20);
            for (int sequence = 0; sequence < packets; sequence++) {
                int partition = 0;
                for (Map.Entry<String, VideoClip> camera : cameras.entrySet()) {
                    topics.send(
                            partition++ % 2,
                            camera.getKey(),
                            SingleObject.encode(camera.getValue().packet(camera.getKey(), sequence)));
                }
            }
            JobSettings settings = topics.settings(
                    "uplift.model.bundle=" + TinyBundle.PATH,
                    "uplift.parallelism=2",
                    "restart-strategy.type=fixed-delay",
                    "restart-strategy.fixed-delay.attempts=1000",
                    "restart-strategy.fixed-delay.delay=10 ms");
            int every = 3 * packets / (failures + 1);
            SUBMITTED.set(0);
            assertThat(FailingEngine.runWithRestarts(settings, () -> {
                        int count = SUBMITTED.incrementAndGet();
                        return count % every == 0 && count / every <= failures;
                    }))
                    .isNotNull();
            assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                    .isEmpty();
            assertThat(topics.read("dropped", "read_committed", FrameDropped.class))
                    .isEmpty();
            List<RecordHeader> headers = headers(topics);
            for (String camera : cameras.keySet()) {
                List<RecordHeader> its = headers.stream()
                        .filter(header -> header.getCameraId().equals(camera))
                        .toList();
                assertThat(its.stream().map(RecordHeader::getSequence))
                        .as(camera)
                        .containsExactlyInAnyOrderElementsOf(
                                LongStream.range(0, packets).boxed().toList());
                assertThat(its.stream().map(RecordHeader::getCaptureTimeMicros).toList())
                        .as(camera)
                        .isSorted();
            }
        }
    }

    /**
     * One partition is at its end long before the other, whose last packets are in transactions: they end once checkpoints
     * were seen, and the operator fails between them.
     */
    @Test
    void checkpointsGoOnWhileOnePartitionIsAtItsEnd() throws Exception {
        VideoClip yard = VideoClip.of("intra.h264");
        VideoClip lane = VideoClip.of("open.h265");
        try (EmbeddedKafka kafka = EmbeddedKafka.start();
                KafkaProducer<String, byte[]> one = transaction(kafka, "one");
                KafkaProducer<String, byte[]> other = transaction(kafka, "other")) {
            Topics topics = Topics.create(kafka, "ends", 2, 1 << 20);
            for (int i = 0; i < 12; i++) {
                topics.send(0, "yard", SingleObject.encode(yard.packet("yard", i)));
                topics.send(1, "lane", SingleObject.encode(lane.packet("lane", i)));
            }
            send(one, topics, lane, 12, 24);
            send(other, topics, lane, 24, 36);
            JobSettings settings = topics.settings(
                    "uplift.model.bundle=" + TinyBundle.PATH,
                    "uplift.parallelism=2",
                    "web.refresh-interval=50 ms",
                    "restart-strategy.type=fixed-delay",
                    "restart-strategy.fixed-delay.attempts=1000",
                    "restart-strategy.fixed-delay.delay=10 ms");
            FAILS.set(false);
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 2)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(
                        env,
                        settings,
                        (given, subtask) -> new FailingEngine(
                                FrameEngine.ofBundle(given, subtask), () -> FAILS.compareAndSet(true, false)));
                EmbeddedFlink.Job job = flink.submit(env);
                awaitPictures(topics, "yard", 12, 0, flink, job);
                awaitCheckpoints(flink, job);
                FAILS.set(true);
                one.commitTransaction();
                awaitPictures(topics, "lane", 18, 1, flink, job); // the decoder holds some back
                awaitCheckpoints(flink, job);
                other.commitTransaction();
                job.awaitEnd();
                assertThat(job.restarts()).isOne();
            }
            List<RecordHeader> headers = headers(topics);
            assertThat(headers.stream()
                            .filter(header -> header.getCameraId().equals("yard"))
                            .map(RecordHeader::getSequence))
                    .containsExactlyElementsOf(LongStream.range(0, 12).boxed().toList());
            assertThat(headers.stream()
                            .filter(header -> header.getCameraId().equals("lane"))
                            .map(RecordHeader::getSequence))
                    .containsExactlyInAnyOrderElementsOf(
                            LongStream.range(0, 36).boxed().toList());
            assertThat(topics.read("failures", "read_committed", FrameFailure.class))
                    .isEmpty();
            assertThat(topics.read("dropped", "read_committed", FrameDropped.class))
                    .isEmpty();
        }
    }

    private static KafkaProducer<String, byte[]> transaction(EmbeddedKafka kafka, String id) {
        KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                Map.of(
                        "bootstrap.servers",
                        kafka.bootstrapServers(),
                        "transactional.id",
                        id,
                        "transaction.timeout.ms",
                        600_000),
                new StringSerializer(),
                new ByteArraySerializer());
        producer.initTransactions();
        producer.beginTransaction();
        return producer;
    }

    private static void send(KafkaProducer<String, byte[]> transaction, Topics topics, VideoClip lane, int from, int to)
            throws IOException {
        for (int i = from; i < to; i++) {
            byte[] packet = SingleObject.encode(lane.packet("lane", i));
            Future<?> unused = transaction.send(new ProducerRecord<>(topics.name("camera-frames"), 1, "lane", packet));
        }
        transaction.flush();
    }

    /** Waits until a camera's pictures are committed, in tasks that were started again so often, while checkpoints succeed. */
    private static void awaitPictures(
            Topics topics, String camera, int pictures, int restarts, EmbeddedFlink flink, EmbeddedFlink.Job job)
            throws Exception {
        while (job.restarts() < restarts || !job.isRunning()) {
            assertThat(job.awaitEnd(Duration.ofMillis(50))).isFalse();
        }
        int before = checkpoints(flink, job).path("failed").asInt();
        while (headers(topics).stream()
                        .filter(header -> header.getCameraId().equals(camera))
                        .count()
                < pictures) {
            assertThat(job.awaitEnd(Duration.ofMillis(50))).isFalse();
            assertThat(checkpoints(flink, job).path("failed").asInt()).isLessThan(before + 20);
        }
    }

    /** Waits for three more checkpoints, none of which fails. */
    private static void awaitCheckpoints(EmbeddedFlink flink, EmbeddedFlink.Job job) throws Exception {
        JsonNode before = checkpoints(flink, job);
        JsonNode now = before;
        while (now.path("completed").asInt() < before.path("completed").asInt() + 3) {
            assertThat(job.awaitEnd(Duration.ofMillis(50))).isFalse();
            now = checkpoints(flink, job);
            assertThat(now.path("failed")).isEqualTo(before.path("failed"));
        }
    }

    private static JsonNode checkpoints(EmbeddedFlink flink, EmbeddedFlink.Job job) throws Exception {
        String answer = HttpClient.newHttpClient()
                .send(flink.request("/jobs/" + job.id() + "/checkpoints"), BodyHandlers.ofString())
                .body();
        return new JsonMapper().readTree(answer).path("counts");
    }

    private static List<RecordHeader> headers(Topics topics) {
        return topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                .map(SegmentationRecord::getHeader)
                .toList();
    }
}
