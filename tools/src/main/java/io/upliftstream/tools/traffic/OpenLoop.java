package io.upliftstream.tools.traffic;

import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.Shot;
import io.upliftstream.tools.stream.InputRecords;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.jspecify.annotations.Nullable;

/**
 * Cameras that send images or packets of video on schedule, whether or not anybody keeps up. They are encoded beforehand, so
 * that the publisher costs next to nothing. A frame's capture time and its Kafka timestamp are the time at which it was due: a
 * frame that is sent late has aged by as much.
 *
 * <p>Camera i sends to partition i, modulo their number. For one thread; another may {@link #stop}, {@link #kill} and {@link #restart} it.
 */
public final class OpenLoop implements AutoCloseable {
    /** How long a frame is sent again while the broker is away. */
    private static final int PATIENCE_MILLIS = 600_000;
    /** {@link #publish} has waited for what matters; after Ctrl-C nobody does. */
    private static final Duration CLOSING = Duration.ofSeconds(5);

    private final String bootstrapServers;
    private final FrameTopics topics;
    private final List<String> turns;
    private final Map<String, Integer> partitions = new HashMap<>();
    private final Map<String, Long> sequences = new HashMap<>();
    private final List<Shot> shots;
    private final Account account;
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private volatile @Nullable KafkaProducer<String, byte[]> producer;
    private volatile boolean stopped;
    private long sent;

    /**
     * @param turns cameras in the order in which they send; one that is named twice sends twice as much
     * @param shots that each camera sends one after the other, and from the beginning again; of video without B-frames, the
     *     first is a key frame
     */
    public OpenLoop(
            String bootstrapServers, FrameTopics topics, List<String> turns, List<Shot> shots, Account account) {
        this.bootstrapServers = bootstrapServers;
        this.topics = topics;
        this.turns = List.copyOf(turns);
        for (String camera : turns) {
            partitions.putIfAbsent(camera, partitions.size() % topics.partitions());
        }
        this.shots = List.copyOf(shots);
        this.account = account;
        restart();
    }

    /** Goes on after {@link #kill}, with the next frames of its cameras. */
    public void restart() {
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
     * Ends as if its process were killed: frames that the broker has not acknowledged are withdrawn, those that are due
     * until {@link #restart} are never taken.
     */
    public void kill() {
        close(Duration.ZERO);
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
        flush();
        Exception failed = failure.get();
        if (failed != null) {
            throw new IOException("a frame could not be sent: " + failed.getMessage(), failed);
        }
    }

    /** {@link #publish} on a thread of its own; {@link #isOver} says when it is over. */
    public CompletableFuture<Void> publishing(double framesPerSecond, long frames) {
        return CompletableFuture.runAsync(() -> {
            try {
                publish(framesPerSecond, frames);
            } catch (IOException e) {
                throw new CompletionException(e);
            }
        });
    }

    /**
     * Waits a moment for what is published on a thread of its own.
     *
     * @return whether the broker has it all
     * @throws IOException if a frame could not be sent
     */
    public static boolean isOver(CompletableFuture<Void> publishing, long millis)
            throws IOException, InterruptedException {
        try {
            publishing.get(millis, TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IOException(String.valueOf(e.getCause()), e);
        }
    }

    private void flush() {
        KafkaProducer<String, byte[]> last = producer;
        if (last != null) {
            last.flush();
        }
    }

    /** Without a lock, as it may wait for the broker: {@link #kill} ends such a wait. */
    private void send(Instant due) {
        KafkaProducer<String, byte[]> current = producer;
        if (current == null) {
            return;
        }
        String camera = turns.get((int) (sent % turns.size()));
        long sequence = sequences.merge(camera, 1L, Long::sum) - 1;
        byte[] value = frame(camera, sequence, due);
        account.published(camera, sequence);
        sent++;
        ProducerRecord<String, byte[]> record =
                new ProducerRecord<>(topics.input(), partitions.get(camera), due.toEpochMilli(), camera, value);
        try {
            Future<?> unused = current.send(record, (metadata, failed) -> {
                if (failed != null && producer != current) {
                    account.withdraw(camera, sequence);
                } else if (failed != null) {
                    failure.compareAndSet(null, failed);
                }
            });
        } catch (KafkaException | IllegalStateException e) {
            if (producer == current) {
                throw e;
            }
            account.withdraw(camera, sequence); // killed meanwhile
        }
    }

    private byte[] frame(String camera, long sequence, Instant due) {
        Shot shot = shots.get((int) (sequence % shots.size()));
        return SingleObject.encode(
                InputRecords.record(camera, sequence, shot, ChronoUnit.MICROS.between(Instant.EPOCH, due)));
    }

    /** Lets {@link #publish} return soon. */
    public void stop() {
        stopped = true;
    }

    @Override
    public void close() {
        close(CLOSING);
    }

    private void close(Duration timeout) {
        KafkaProducer<String, byte[]> last = producer;
        producer = null; // from here on what fails was not acknowledged in time
        if (last != null) {
            last.close(timeout);
        }
    }
}
