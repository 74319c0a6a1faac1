package io.upliftstream.tools;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.FrameFailure;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import javax.imageio.ImageIO;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A TorchScript model that throws, answers with infinity and takes more memory than there is, inside the job. */
class ModelTroubleITCase {
    /** Its upsampler looks at a frame's first byte. */
    private static final Path TINY = Path.of("..", "model", "src", "test", "resources", "tiny");

    private static final int INFINITY = 251;
    private static final int THROWS = 253;
    private static final int TOO_MUCH_IN_A_BATCH = 254;
    private static final int FRAMES = 60;

    @Test
    @Timeout(value = 10, unit = TimeUnit.MINUTES)
    void onlyTheGuiltyFramesFailAndTheJobRunsOn() throws Exception {
        try (EmbeddedKafka kafka = EmbeddedKafka.start()) {
            Topics topics = Topics.create(kafka, "trouble", 1, 1 << 20);
            List<Long> throwing = new ArrayList<>();
            List<Long> infinite = new ArrayList<>();
            for (long sequence = 0; sequence < FRAMES; sequence++) {
                int firstByte =
                        switch ((int) sequence % 10) {
                            case 3 -> THROWS;
                            case 5 -> INFINITY;
                            case 8 -> TOO_MUCH_IN_A_BATCH;
                            default -> (int) sequence;
                        };
                if (firstByte == THROWS) {
                    throwing.add(sequence);
                } else if (firstByte == INFINITY) {
                    infinite.add(sequence);
                }
                topics.send(
                        0,
                        "north",
                        SingleObject.encode(Topics.frame("north", sequence, image(firstByte))
                                .build()));
            }

            JobSettings settings = topics.settings(
                    "uplift.model.bundle=" + TINY.toAbsolutePath().normalize(), "uplift.model.max-batch=4");
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(env, settings);
                EmbeddedFlink.Job job = flink.submit(env);
                job.awaitEnd();
                assertThat(job.restarts()).isZero();
            }

            List<FrameFailure> failures = topics.read("failures", "read_committed", FrameFailure.class);
            assertThat(sequences(failures, "MODEL_FAILED")).isEqualTo(throwing);
            assertThat(sequences(failures, "NON_FINITE_OUTPUT")).isEqualTo(infinite);
            assertThat(topics.read("segmentation", "read_committed", SegmentationRecord.class))
                    .extracting(record -> record.getHeader().getSequence())
                    .containsExactlyElementsOf(LongStream.range(0, FRAMES)
                            .boxed()
                            .filter(sequence -> !throwing.contains(sequence) && !infinite.contains(sequence))
                            .toList());
            assertThat(failures).hasSize(throwing.size() + infinite.size());
        }
    }

    private static List<Long> sequences(List<FrameFailure> failures, String reason) {
        return failures.stream()
                .filter(failure -> failure.getReason().equals(reason))
                .map(FrameFailure::getHeader)
                .map(RecordHeader::getSequence)
                .toList();
    }

    /** Of the model's own size, so that its first byte reaches the model as it is. */
    private static byte[] image(int firstByte) throws IOException {
        BufferedImage image = new BufferedImage(16, 8, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, firstByte << 16);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(image, "png", png);
        return png.toByteArray();
    }
}
