package io.upliftstream.tools.claim;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.FeatureRecord;
import io.upliftstream.schemas.PayloadStore;
import io.upliftstream.schemas.Payloads;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.Topics;
import io.upliftstream.tools.cli.Commands;
import io.upliftstream.tools.embedded.EmbeddedKafka;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A job of {@link LargeFeatures} in processes of its own, of which some are killed.
 *
 * @param directory for state and what processes print
 * @param settings of the job beside its topics
 * @param environment of its processes
 */
record ClaimJob(
        EmbeddedKafka kafka,
        Topics topics,
        LargeFeatures engine,
        Path directory,
        List<String> settings,
        Map<String, String> environment) {

    /** Sends so many frames of one camera. */
    void publish(int frames) throws Exception {
        try (KafkaProducer<String, byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", kafka.bootstrapServers()),
                new StringSerializer(),
                new ByteArraySerializer())) {
            for (int number = 0; number < frames; number++) {
                Future<RecordMetadata> unused = producer.send(new ProducerRecord<>(
                        topics.name("camera-frames"),
                        0,
                        "north",
                        SingleObject.encode(Topics.frame("north", number, LargeFeatures.image(number))
                                .build())));
            }
        }
    }

    List<String> assignments() {
        List<String> all = new ArrayList<>(topics.assignments(
                "uplift.kafka.timeout=1 min", // a busy machine is not what is tested
                "uplift.output.tensor.compression=none",
                "uplift.output.segmentation.topic=none",
                "uplift.output.regression.topic=none"));
        all.addAll(settings);
        return all;
    }

    private Process start(Path output) throws IOException {
        List<String> arguments =
                new ArrayList<>(List.of(Integer.toString(engine.leastBytes()), Integer.toString(engine.mostBytes())));
        arguments.addAll(assignments());
        return Commands.start(LargeFeatures.class, directory, output, Commands.env(environment), arguments);
    }

    /**
     * Runs the job to its end, with so many kills on the way, spread over its frames.
     *
     * @return what the last process printed
     */
    String run(int frames, int kills) throws Exception {
        for (int kill = 0; kill <= kills; kill++) {
            Path output = Files.createTempFile(directory, "job-", ".log");
            Process process = start(output);
            try {
                if (kill < kills) {
                    // Records of open transactions count, so that a kill comes between a write and its commit.
                    long enough = (long) frames * (kill + 1) / (kills + 1);
                    while (process.isAlive() && highestRead() < enough) {
                        Thread.sleep(Math.min(500, frames / 4)); // a look reads the topic; a small job is soon over
                    }
                    assertThat(process.isAlive()).as(Files.readString(output)).isTrue();
                } else {
                    assertThat(process.waitFor(20, TimeUnit.MINUTES)).isTrue();
                    assertThat(process.exitValue()).as(Files.readString(output)).isZero();
                    return Files.readString(output);
                }
            } finally {
                process.destroyForcibly().waitFor();
            }
        }
        throw new AssertionError("unreachable");
    }

    /** The highest sequence of any record so far, committed or not. */
    private long highestRead() {
        return topics.read("features", "read_uncommitted", FeatureRecord.class).stream()
                .mapToLong(record -> record.getHeader().getSequence())
                .max()
                .orElse(-1);
    }

    /**
     * Each frame has one committed record, with the right features, and no record of any transaction refers to nothing.
     *
     * @return the hashes that committed records refer to
     */
    List<String> assertAllThere(int frames, PayloadStore store) {
        List<String> hashes = new ArrayList<>();
        Map<Long, Integer> seen = new HashMap<>();
        Deque<FeatureRecord> records = read("read_committed");
        while (!records.isEmpty()) {
            FeatureRecord record = records.remove(); // with its payload, of which there are gigabytes in all
            long sequence = record.getHeader().getSequence();
            seen.merge(sequence, 1, Integer::sum);
            record.getTensor().getReference().ifPresent(reference -> hashes.add(reference.getSha256()));
            long unused = Payloads.fetch(record, store);
            assertThat(record.getTensor().getData()).isEqualTo(ByteBuffer.wrap(engine.features((int) sequence)));
        }
        assertThat(seen).hasSize(frames).allSatisfy((sequence, times) -> assertThat(times)
                .isEqualTo(1));
        records = read("read_uncommitted");
        while (!records.isEmpty()) {
            FeatureRecord record = records.remove();
            if (record.getTensor().getReference().stream().noneMatch(known -> hashes.contains(known.getSha256()))) {
                long unused = Payloads.fetch(record, store);
            }
        }
        return hashes;
    }

    private Deque<FeatureRecord> read(String isolation) {
        return new ArrayDeque<>(topics.read("features", isolation, FeatureRecord.class));
    }
}
