package io.upliftstream.tools.demo;

import io.upliftstream.schemas.CameraFrame;
import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.SingleObject;
import io.upliftstream.tools.camera.Camera;
import io.upliftstream.tools.camera.Shot;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends the frames of cameras to a topic, a thread for each camera: camera i to partition i, modulo their number, as
 * {@link CameraFrame} in single-object encoding. Every frame is entered in the {@link Ledger} before it is sent.
 *
 * <p>Until {@link #begin()} the cameras take pictures ahead, so that a job on the same processor is not measured by what
 * it costs to draw or decode the first {@value #MAX_AHEAD} of each.
 */
final class CameraPublisher implements AutoCloseable {
    /** When the next frame goes out. */
    enum Pace {
        /** As soon as the ledger has room. */
        UNPACED,
        /** When the camera takes it. */
        REAL_TIME
    }

    private static final int MAX_AHEAD = 128;
    private static final long MAX_AHEAD_BYTES = 32L << 20;

    private final KafkaProducer<String, byte[]> producer;
    private final CountDownLatch begun = new CountDownLatch(1);
    private final List<Thread> threads = new ArrayList<>();
    private final List<CompletableFuture<Void>> ends = new ArrayList<>();

    /**
     * Prepares cameras.
     *
     * @param framesPerCamera after which a camera is done
     * @param maxRecordBytes that the topic takes
     */
    CameraPublisher(
            String bootstrapServers,
            String topic,
            List<Camera> cameras,
            long framesPerCamera,
            Pace pace,
            int maxRecordBytes,
            Ledger ledger) {
        producer = new KafkaProducer<>(
                Map.of(
                        ProducerConfig.BOOTSTRAP_SERVERS_CONFIG,
                        bootstrapServers,
                        ProducerConfig.MAX_REQUEST_SIZE_CONFIG,
                        maxRecordBytes),
                new StringSerializer(),
                new ByteArraySerializer());
        int partitions = producer.partitionsFor(topic).size();
        for (int i = 0; i < cameras.size(); i++) {
            Camera camera = cameras.get(i);
            int partition = i % partitions;
            CompletableFuture<Void> end = new CompletableFuture<>();
            Thread thread = new Thread(
                    () -> {
                        try {
                            publish(camera, topic, partition, framesPerCamera, pace, ledger);
                            end.complete(null);
                        } catch (InterruptedException | InterruptException e) {
                            end.cancel(false);
                        } catch (IOException | RuntimeException e) {
                            end.completeExceptionally(e);
                        }
                    },
                    "camera " + camera.id());
            thread.setDaemon(true);
            threads.add(thread);
            ends.add(end);
        }
        threads.forEach(Thread::start);
    }

    private void publish(Camera camera, String topic, int partition, long framesPerCamera, Pace pace, Ledger ledger)
            throws IOException, InterruptedException {
        Deque<Shot> ahead = takeAhead(camera, framesPerCamera);
        begun.await();
        long start = System.nanoTime();
        for (long sequence = 0; sequence < framesPerCamera; sequence++) {
            Shot shot = ahead.isEmpty() ? camera.next() : ahead.remove();
            if (shot == null) {
                return;
            }
            if (pace == Pace.REAL_TIME) {
                long due = start + (long) (sequence * 1e9 / camera.framesPerSecond());
                TimeUnit.NANOSECONDS.sleep(due - System.nanoTime());
            } else {
                ledger.awaitRoom();
            }
            long captureMicros = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
            ledger.published(camera.id(), sequence, shot.image().length, shot.labels());
            byte[] value = SingleObject.encode(CameraFrame.newBuilder()
                    .setCameraId(camera.id())
                    .setSequence(sequence)
                    .setCaptureTimeMicros(captureMicros)
                    .setCaptureClock(CaptureClock.PUBLISHER)
                    .setImage(ByteBuffer.wrap(shot.image()))
                    .setImageFormat(shot.format())
                    .build());
            try {
                producer.send(new ProducerRecord<>(topic, partition, captureMicros / 1000, camera.id(), value))
                        .get();
            } catch (ExecutionException e) {
                throw new IOException(
                        "frame %d of %s could not be sent: %s".formatted(sequence, camera.id(), e.getMessage()), e);
            }
        }
    }

    private Deque<Shot> takeAhead(Camera camera, long framesPerCamera) throws IOException {
        Deque<Shot> ahead = new ArrayDeque<>();
        long bytes = 0;
        while (begun.getCount() > 0 && ahead.size() < Math.min(MAX_AHEAD, framesPerCamera) && bytes < MAX_AHEAD_BYTES) {
            Shot shot = camera.next();
            if (shot == null) {
                break;
            }
            ahead.add(shot);
            bytes += shot.image().length;
        }
        return ahead;
    }

    /** Begins to publish. */
    void begin() {
        begun.countDown();
    }

    /**
     * Whether every camera has sent its last frame.
     *
     * @throws IOException if one could not go on
     */
    boolean finished() throws IOException {
        for (CompletableFuture<Void> end : ends) {
            if (end.isCompletedExceptionally()) {
                try {
                    end.join();
                } catch (RuntimeException e) {
                    Throwable cause = e.getCause() == null ? e : e.getCause();
                    throw new IOException(cause.getMessage(), cause);
                }
            }
        }
        return ends.stream().allMatch(CompletableFuture::isDone);
    }

    /** Stops publishing; frames on their way still arrive. */
    @Override
    public void close() {
        threads.forEach(Thread::interrupt);
        for (Thread thread : threads) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                break;
            }
        }
        producer.close();
    }
}
