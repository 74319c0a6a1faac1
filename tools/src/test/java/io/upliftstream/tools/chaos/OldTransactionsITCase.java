package io.upliftstream.tools.chaos;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.DenseVisionJob;
import io.upliftstream.job.JobSettings;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.TinyBundle;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.embedded.EmbeddedFlink;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.LongStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** No checkpoint completes for longer than Kafka keeps a transaction open, here 6 s. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class OldTransactionsITCase {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Test
    void noResultIsLostWithTheTransactionThatItWaitedIn() throws Exception {
        Map<String, String> aborts = Map.of("transaction.abort.timed.out.transaction.cleanup.interval.ms", "200");
        Path checkpoints = Files.createDirectory(directory.resolve("checkpoints"));
        Path away = directory.resolve("away");
        try (EmbeddedKafka kafka = EmbeddedKafka.start(aborts, Map.of());
                Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
            Topics topics = Topics.create(kafka, "old", 1, 1 << 20);
            JobSettings settings = topics.settings(
                    "uplift.model.bundle=" + TinyBundle.PATH,
                    "uplift.input.stop=never",
                    "uplift.checkpoint.directory=" + checkpoints.toUri(),
                    "uplift.kafka.properties.transaction.timeout.ms=6000",
                    "execution.checkpointing.tolerable-failed-checkpoints=1000000");
            try (EmbeddedFlink flink = new EmbeddedFlink(settings.flinkConfiguration(), 1)) {
                StreamExecutionEnvironment env = flink.environment();
                DenseVisionJob.definePipeline(env, settings);
                EmbeddedFlink.Job job = flink.submit(env);
                publish(topics, 0, 5);
                await(() -> results(topics, "read_committed").size() == 5);

                Files.move(checkpoints, away);
                Files.createFile(checkpoints);
                publish(topics, 5, 10);
                await(() -> results(topics, "read_uncommitted").size() >= 10);
                long written = end(admin, topics, IsolationLevel.READ_UNCOMMITTED);
                await(() -> end(admin, topics, IsolationLevel.READ_COMMITTED) >= written);
                assertThat(results(topics, "read_committed"))
                        .as("the broker aborted what was written since")
                        .hasSize(5);

                Files.delete(checkpoints);
                Files.move(away, checkpoints);
                // Nothing more is published before: a frame sent into an aborted transaction would fail the task, too.
                await(() -> committed(admin, topics) == 10);
                long after = end(admin, topics, IsolationLevel.READ_UNCOMMITTED);
                await(() -> end(admin, topics, IsolationLevel.READ_COMMITTED) >= after);
                assertThat(results(topics, "read_committed"))
                        .isEqualTo(LongStream.range(0, 10).boxed().toList());
                job.cancel();
            }
        }
    }

    private static void publish(Topics topics, long from, long to) throws Exception {
        for (long sequence = from; sequence < to; sequence++) {
            topics.send(
                    0,
                    "gate",
                    SingleObject.encode(
                            Topics.frame("gate", sequence, TinyBundle.image(1)).build()));
        }
    }

    private static List<Long> results(Topics topics, String isolation) {
        return topics.read("segmentation", isolation, SegmentationRecord.class).stream()
                .map(record -> record.getHeader().getSequence())
                .toList();
    }

    private static long end(Admin admin, Topics topics, IsolationLevel isolation) {
        TopicPartition partition = new TopicPartition(topics.name("segmentation"), 0);
        try {
            return admin.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(isolation))
                    .partitionResult(partition)
                    .get()
                    .offset();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    /** The offset up to which a checkpoint says that all frames are done. */
    private static long committed(Admin admin, Topics topics) {
        try {
            OffsetAndMetadata offset = admin.listConsumerGroupOffsets("old")
                    .partitionsToOffsetAndMetadata()
                    .get()
                    .get(new TopicPartition(topics.name("camera-frames"), 0));
            return offset == null ? 0 : offset.offset();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private static void await(BooleanSupplier condition) {
        while (!condition.getAsBoolean()) {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
        }
    }
}
