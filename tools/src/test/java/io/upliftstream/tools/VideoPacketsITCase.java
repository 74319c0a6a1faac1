package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.JobSettings;
import io.upliftstream.job.VideoHeaders;
import io.upliftstream.model.Picture;
import io.upliftstream.schemas.FrameDropped;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.MaskCodec;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import javax.imageio.ImageIO;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Packets of videos from Kafka through Flink, decoder and model. */
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class VideoPacketsITCase {
    private static final AtomicInteger SUBMITTED = new AtomicInteger();

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
            List<RecordHeader> headers =
                    topics.read("segmentation", "read_committed", SegmentationRecord.class).stream()
                            .map(SegmentationRecord::getHeader)
                            .toList();
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
}
