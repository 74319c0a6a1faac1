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
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;
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
    private final boolean inOrder;
    private final Reader records;
    /** For the packets that a picture needs. */
    private final Reader packets;

    private final PacketPictures pictures;

    private FrameImages(JobSettings settings, boolean inOrder, Duration patience, Duration decoding) {
        this.patience = patience;
        this.inOrder = inOrder;
        decoder = RegistryOptions.decoder(settings);
        input = settings.get(InputOptions.INPUT_TOPIC);
        if (inOrder) {
            records = new Reader(RecordReader.consumer(settings, Map.of()));
            packets = records;
        } else {
            records = single(settings, 1); // the broker sends one batch at least, and more would be thrown away
            packets = single(settings, 1 << 20);
        }
        pictures = new PacketPictures(this::packet, inOrder, decoding);
    }

    private Reader single(JobSettings settings, int fetchBytes) {
        return new Reader(RecordReader.consumer(
                settings,
                Map.of(
                        ConsumerConfig.ISOLATION_LEVEL_CONFIG,
                        "read_uncommitted",
                        ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG,
                        fetchBytes,
                        ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG,
                        (int) patience.toMillis())));
    }

    /** For frames that are asked for in their order: what comes along with one is kept for the next. */
    public static FrameImages inOrder(JobSettings settings) {
        return new FrameImages(settings, true, Duration.ofSeconds(10), Duration.ofMinutes(1));
    }

    /** For frames here and there: of each as little as possible is fetched beside it. */
    public static FrameImages single(JobSettings settings) {
        return new FrameImages(settings, false, Duration.ofSeconds(3), Duration.ofSeconds(3));
    }

    /**
     * The image of a frame as it was sent, JPEG or PNG, or a JPEG of a packet's picture; empty if the input topic no longer has
     * it or has something else there. A record that claims to be about another topic gets nothing of that topic shown.
     */
    public Optional<byte[]> image(SourcePosition source) {
        if (!source.getTopic().equals(input)) {
            return Optional.empty();
        }
        try {
            Optional<SpecificRecord> record = read(records, source.getPartition(), source.getOffset());
            if (record.isPresent() && record.get() instanceof VideoPacket packet) {
                return picture(packet, source);
            }
            return record.map(frame -> CameraFrames.image((CameraFrame) frame));
        } catch (MalformedRecordException e) {
            return Optional.empty();
        }
    }

    private Optional<SpecificRecord> read(Reader reader, int partition, long offset) {
        return reader.find(partition, offset).map(found -> CameraFrames.of(found, decoder));
    }

    private Optional<VideoPacket> packet(int partition, long offset) {
        return read(packets, partition, offset)
                .filter(VideoPacket.class::isInstance)
                .map(VideoPacket.class::cast);
    }

    private Optional<byte[]> picture(VideoPacket packet, SourcePosition source) {
        TopicPartition partition = new TopicPartition(input, source.getPartition());
        try {
            return pictures.picture(
                            packet,
                            source.getPartition(),
                            source.getOffset(),
                            packets.first(partition),
                            packets.end(partition))
                    .map(shown -> Images.jpeg(shown, JPEG_QUALITY));
        } finally {
            if (!inOrder) {
                packets.fetched.clear();
            }
        }
    }

    /** The record of a frame on the input topic; empty if the topic no longer has it. */
    public Optional<ConsumerRecord<byte[], byte[]>> find(int partition, long offset) {
        return records.find(partition, offset);
    }

    /** A consumer, and what came along with the record that was asked for last, by partition and offset. */
    private final class Reader {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Map<TopicPartition, NavigableMap<Long, ConsumerRecord<byte[], byte[]>>> fetched = new HashMap<>();

        Reader(KafkaConsumer<byte[], byte[]> consumer) {
            this.consumer = consumer;
        }

        long first(TopicPartition partition) {
            return consumer.beginningOffsets(List.of(partition)).getOrDefault(partition, 0L);
        }

        long end(TopicPartition partition) {
            return consumer.endOffsets(List.of(partition)).getOrDefault(partition, 0L);
        }

        Optional<ConsumerRecord<byte[], byte[]>> find(int partition, long offset) {
            TopicPartition from = new TopicPartition(input, partition);
            NavigableMap<Long, ConsumerRecord<byte[], byte[]>> found = fetched.get(from);
            // Between records that came together there are no others, whatever their offsets.
            if (found == null || offset < found.firstKey() || offset > found.lastKey()) {
                found = fetch(from, offset);
                fetched.remove(from);
                if (!found.isEmpty()) {
                    fetched.put(from, found);
                }
            }
            return Optional.ofNullable(found.get(offset));
        }

        private NavigableMap<Long, ConsumerRecord<byte[], byte[]>> fetch(TopicPartition partition, long offset) {
            NavigableMap<Long, ConsumerRecord<byte[], byte[]>> found = new TreeMap<>();
            // Where nothing can be, nothing is waited for.
            if (consumer.partitionsFor(input).stream().noneMatch(info -> info.partition() == partition.partition())) {
                return found;
            }
            consumer.assign(List.of(partition));
            long last = end(partition);
            if (offset < first(partition) || offset >= last) {
                return found;
            }
            consumer.seek(partition, offset);
            long end = System.nanoTime() + patience.toNanos();
            // The position also passes the markers of transactions, which are no records.
            while (found.isEmpty() && consumer.position(partition) < last && System.nanoTime() < end) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    found.put(record.offset(), record);
                }
            }
            return found;
        }
    }

    @Override
    public void close() {
        pictures.close();
        records.consumer.close();
        packets.consumer.close();
    }
}
