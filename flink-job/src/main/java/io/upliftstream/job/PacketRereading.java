package io.upliftstream.job;

import io.upliftstream.schemas.RegistryException;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.util.ExceptionUtils;
import org.apache.flink.util.function.ThrowingRunnable;
import org.apache.kafka.common.errors.InterruptException;
import org.jspecify.annotations.Nullable;

/** Feeds videos what they have had before, beside the subtask's thread. Thread and reader begin with the first packet. */
final class PacketRereading {
    private final JobSettings settings;
    private final FrameParser parser;
    private final MailboxExecutor mailbox;
    private final PacketReader.Factory readers;
    private final VideoWay way;
    /** Whether no packet was let go because the registry was away. */
    private final boolean waits;

    private @Nullable ExecutorService reading;
    private int streams;

    // for the reading thread
    private @Nullable PacketReader reader;

    PacketRereading(
            JobSettings settings,
            FrameParser parser,
            MailboxExecutor mailbox,
            PacketReader.Factory readers,
            VideoWay way) {
        this.settings = settings;
        this.parser = parser;
        this.mailbox = mailbox;
        this.readers = readers;
        this.way = way;
        waits = RegistryOptions.waits(settings);
    }

    /** Whether no stream is fed. For the subtask's thread, as all that follows. */
    boolean idle() {
        return streams == 0;
    }

    /** @param fed run on the subtask's thread after each packet, and after the last */
    void feed(VideoStream stream, PacketReader.Range range, Runnable fed) {
        if (reading == null) {
            reading = Executors.newSingleThreadExecutor(task -> {
                Thread thread = new Thread(() -> runAndClose(task), "uplift-packets");
                thread.setDaemon(true);
                return thread;
            });
        }
        streams++;
        reading.execute(() -> {
            try {
                read(stream, range, fed);
                mail(() -> {
                    streams--;
                    stream.fedAgainWhole();
                    fed.run();
                });
            } catch (InterruptException | RejectedExecutionException e) {
                Thread.currentThread().interrupt(); // the subtask ends
            } catch (Throwable e) {
                mail(() -> {
                    if (e instanceof Error error) {
                        SpoiltProcess.endIfSpoilt(error);
                        throw error;
                    }
                    throw new IOException(
                            "packets of camera %s cannot be read again: %s"
                                    .formatted(stream.id().cameraId(), e.getMessage()),
                            e);
                });
            }
        });
    }

    private void runAndClose(Runnable task) {
        try {
            task.run();
        } finally {
            boolean interrupted = Thread.interrupted();
            if (reader != null) {
                reader.close();
                reader = null;
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void read(VideoStream stream, PacketReader.Range range, Runnable fed) {
        if (reader == null) {
            reader = readers.open(settings);
        }
        reader.read(range, source -> {
            Frame packet = packet(source);
            if (packet != null && packet.cameraId().equals(stream.id().cameraId())) {
                try {
                    stream.againRoom().acquire();
                } catch (InterruptedException e) {
                    throw new InterruptException(e);
                }
                mail(() -> {
                    way.readAgain();
                    stream.fedAgain(packet);
                    fed.run();
                });
            }
            return !Thread.currentThread().isInterrupted();
        });
    }

    private @Nullable Frame packet(RawFrame source) {
        try {
            Frame frame = parser.parse(source);
            return frame.packet() == null ? null : frame;
        } catch (FrameProblem failed) {
            Optional<RegistryException> registry = ExceptionUtils.findThrowable(failed, RegistryException.class);
            if (waits && registry.isPresent() && registry.get().mayPass()) {
                throw registry.get(); // the decoder would miss what it had; the restart strategy tries again
            }
            return null; // it has its failure record since it was first read
        }
    }

    private void mail(ThrowingRunnable<? extends Exception> work) {
        mailbox.execute(work, "packets that are read again");
    }

    void close() {
        if (reading != null) {
            reading.shutdownNow(); // its thread closes the reader when it ends
        }
    }
}
