package io.upliftstream.tools.stream;

import io.upliftstream.job.InputOptions;
import io.upliftstream.job.JobSettings;
import io.upliftstream.job.RegistryOptions;
import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.RecordDecoder;
import io.upliftstream.schemas.SourcePosition;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/** Finds frames, and their images, by their place in the input topic. For use by one thread at a time. */
public final class FrameImages implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(100);

    private static final double JPEG_QUALITY = 0.95;

    private final String input;
    private final RecordDecoder decoder;
    private final Duration patience;
    private final KafkaConsumer<byte[], byte[]> consumer;
    /** What came along with the last frame that was asked for, by partition and offset. */
    private final Map<TopicPartition, Map<Long, ConsumerRecord<byte[], byte[]>>> fetched = new HashMap<>();

    private final boolean inOrder;
    private final Map<Integer, PacketPictures> packets = new HashMap<>();

    private FrameImages(JobSettings settings, Duration patience, boolean inOrder, Map<String, Object> more) {
        this.patience = patience;
        this.inOrder = inOrder;
        decoder = RegistryOptions.decoder(settings);
        input = settings.get(InputOptions.INPUT_TOPIC);
        consumer = RecordReader.consumer(settings, more);
    }

    /** For frames that are asked for in their order: what comes along with one is kept for the next. */
    public static FrameImages inOrder(JobSettings settings) {
        return new FrameImages(settings, Duration.ofSeconds(10), true, Map.of());
    }

    /** For frames here and there: of each as little as possible is fetched beside it. */
    public static FrameImages single(JobSettings settings) {
        return new FrameImages(
                settings,
                Duration.ofSeconds(3),
                false,
                // The broker sends one batch at least, and more would be thrown away.
                Map.of(
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted",
                        ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG,
                        1,
                        ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG,
                        3000));
    }

    /**
     * The image of a frame as it was sent, JPEG or PNG, or a JPEG of a packet's picture; empty if the input topic no longer has it or has something else
     * there. A record that claims to be about another topic gets nothing of that topic shown.
     */
    public Optional<byte[]> image(SourcePosition source) {
        if (!source.getTopic().equals(input)) {
            return Optional.empty();
        }
        try {
            Optional<SpecificRecord> record = read(source.getPartition(), source.getOffset());
            if (record.isPresent() && record.get() instanceof VideoPacket packet) {
                return picture(packet, source);
            }
            return record.map(frame -> CameraFrames.image((CameraFrame) frame));
        } catch (MalformedRecordException | IOException e) {
            return Optional.empty();
        }
    }

    private Optional<SpecificRecord> read(int partition, long offset) {
        return find(partition, offset).map(found -> CameraFrames.of(found, decoder));
    }

    private Optional<byte[]> picture(VideoPacket packet, SourcePosition source) throws IOException {
        PacketPictures pictures = packets.computeIfAbsent(
                source.getPartition(),
                partition -> new PacketPictures(
                        offset -> read(partition, offset)
                                .filter(VideoPacket.class::isInstance)
                                .map(VideoPacket.class::cast),
                        inOrder));
        TopicPartition partition = new TopicPartition(input, source.getPartition());
        long first = consumer.beginningOffsets(List.of(partition)).getOrDefault(partition, 0L);
        long end = consumer.endOffsets(List.of(partition)).getOrDefault(partition, 0L);
        Optional<BufferedImage> picture = pictures.picture(packet, source.getOffset(), first, end);
        return picture.map(shown -> Images.jpeg(shown, JPEG_QUALITY));
    }

    /** The record of a frame on the input topic; empty if the topic no longer has it. */
    public Optional<ConsumerRecord<byte[], byte[]>> find(int partition, long offset) {
        TopicPartition from = new TopicPartition(input, partition);
        Map<Long, ConsumerRecord<byte[], byte[]>> records = fetched.computeIfAbsent(from, none -> new HashMap<>());
        if (!records.containsKey(offset)) {
            fetch(from, offset, records);
        }
        if (records.isEmpty()) {
            fetched.remove(from);
        }
        return Optional.ofNullable(records.get(offset));
    }

    private void fetch(TopicPartition partition, long offset, Map<Long, ConsumerRecord<byte[], byte[]>> records) {
        records.clear();
        // Where nothing can be, nothing is waited for.
        if (consumer.partitionsFor(input).stream().noneMatch(info -> info.partition() == partition.partition())) {
            return;
        }
        consumer.assign(List.of(partition));
        if (offset < consumer.beginningOffsets(List.of(partition)).getOrDefault(partition, 0L)
                || offset >= consumer.endOffsets(List.of(partition)).getOrDefault(partition, 0L)) {
            return;
        }
        consumer.seek(partition, offset);
        long end = System.nanoTime() + patience.toNanos();
        while (records.isEmpty() && System.nanoTime() < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                records.put(record.offset(), record);
            }
        }
    }

    @Override
    public void close() {
        packets.values().forEach(PacketPictures::close);
        consumer.close();
    }
}
