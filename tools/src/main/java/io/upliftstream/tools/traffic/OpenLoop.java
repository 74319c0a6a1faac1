package io.upliftstream.tools.traffic;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Cameras that send images on schedule, whether or not anybody keeps up. The images are encoded beforehand, so that the
 * publisher costs next to nothing. A frame's capture time and its Kafka timestamp are the time at which it was due: a
 * frame that is sent late has aged by as much.
 *
 * <p>Camera i sends to partition i, modulo their number. For one thread, except {@link #stop}.
 */
public final class OpenLoop implements AutoCloseable {
    /** How long a frame is sent again while the broker is away. */
    private static final int PATIENCE_MILLIS = 600_000;
    /** {@link #publish} has waited for what matters; after Ctrl-C nobody does. */
    private static final Duration CLOSING = Duration.ofSeconds(5);

    private final KafkaProducer<String, byte[]> producer;
    private final FrameTopics topics;
    private final List<String> turns;
    private final Map<String, Integer> partitions = new HashMap<>();
    private final Map<String, Long> sequences = new HashMap<>();
    private final List<byte[]> images;
    private final Account account;
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private volatile boolean stopped;
    private long sent;

    /**
     * @param turns cameras in the order in which they send; one that is named twice sends twice as much
     * @param images JPEG or PNG, sent one after the other and from the beginning again
     */
    public OpenLoop(
            String bootstrapServers, FrameTopics topics, List<String> turns, List<byte[]> images, Account account) {
        this.topics = topics;
        this.turns = List.copyOf(turns);
        for (String camera : turns) {
            partitions.putIfAbsent(camera, partitions.size() % topics.partitions());
        }
        this.images = List.copyOf(images);
        this.account = account;
        producer = new KafkaProducer<>(
                Map.of(
                        ProducerConfig.BOOTSTRAP_SERVERS_CONFIG,
                        bootstrapServers,
                        ProducerConfig.LINGER_MS_CONFIG,
                        0,
                        ProducerConfig.MAX_REQUEST_SIZE_CONFIG,
                        32 << 20,
                        ProducerConfig.MAX_BLOCK_MS_CONFIG,
                        PATIENCE_MILLIS,
                        ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG,
                        PATIENCE_MILLIS),
                new StringSerializer(),
                new ByteArraySerializer());
    }

    /**
     * Sends so many frames at a rate, or until {@link #stop}, and returns when the broker has them all.
     *
     * @param framesPerSecond of all cameras together; {@link Double#POSITIVE_INFINITY} for at once
     * @throws IOException if a frame could not be sent
     */
    public void publish(double framesPerSecond, long frames) throws IOException {
        Instant start = Instant.now();
        long startNanos = System.nanoTime();
        for (long frame = 0; frame < frames && !stopped && failure.get() == null; frame++) {
            long dueNanos = (long) (frame * 1e9 / framesPerSecond);
            for (long wait = startNanos + dueNanos - System.nanoTime();
                    wait > 0 && !stopped;
                    wait = startNanos + dueNanos - System.nanoTime()) {
                LockSupport.parkNanos(wait);
            }
            send(start.plusNanos(dueNanos));
        }
        producer.flush();
        Exception failed = failure.get();
        if (failed != null) {
            throw new IOException("a frame could not be sent: " + failed.getMessage(), failed);
        }
    }

    private void send(Instant due) {
        String camera = turns.get((int) (sent % turns.size()));
        long sequence = sequences.merge(camera, 1L, Long::sum) - 1;
        byte[] value = frame(camera, sequence, due);
        account.published(camera, sequence);
        sent++;
        Future<?> unused = producer.send(
                new ProducerRecord<>(topics.input(), partitions.get(camera), due.toEpochMilli(), camera, value),
                (metadata, failed) -> {
                    if (failed != null) {
                        failure.compareAndSet(null, failed);
                    }
                });
    }

    private byte[] frame(String camera, long sequence, Instant due) {
        return SingleObject.encode(CameraFrame.newBuilder()
                .setCameraId(camera)
                .setSequence(sequence)
                .setCaptureTimeMicros(ChronoUnit.MICROS.between(Instant.EPOCH, due))
                .setCaptureClock(CaptureClock.PUBLISHER)
                .setImage(ByteBuffer.wrap(images.get((int) (sent % images.size()))))
                .build());
    }

    /** Lets {@link #publish} return soon. */
    public void stop() {
        stopped = true;
    }

    @Override
    public void close() {
        producer.close(CLOSING);
    }
}
