package io.upliftstream.schemas;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.LocalDate;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecord;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/**
 * The parts of records that may be large and elsewhere: a mask, its confidence, a tensor's data, the original of a failure.
 * These methods change the record that they are given.
 */
@NullMarked
public final class Payloads {
    /** Unless the caller says otherwise, a payload is given up after this time. */
    public static final Duration PATIENCE = Duration.ofSeconds(30);

    /** Unless the caller says otherwise, a payload has at most so many bytes: those of the largest float tensor. */
    public static final long MAX_BYTES = 4L * TensorCodec.MAX_ELEMENTS;

    private static final Pattern NAME =
            Pattern.compile("(?:^|/)(\\d{4}-\\d{2}-\\d{2}/([0-9a-f]{2})/(\\2[0-9a-f]{62}))\\z");

    /** Of the URI of a reference that leads nowhere, so many characters are shown. */
    private static final int SHOWN = 200;

    /** Most payloads that are read at a time in this process. A store that never answers has these threads, and no more. */
    static final int MAX_READERS = 64;

    private static final ThreadPoolExecutor READERS = threads("payload");

    /** Closing what a reader waits for may wait as well. */
    private static final ThreadPoolExecutor CLOSERS = threads("payload-close");

    private Payloads() {}

    private static ThreadPoolExecutor threads(String name) {
        ThreadPoolExecutor threads = new ThreadPoolExecutor(
                MAX_READERS, MAX_READERS, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
                    Thread thread = new Thread(task, name);
                    thread.setDaemon(true);
                    return thread;
                });
        threads.allowCoreThreadTimeOut(true);
        return threads;
    }

    /** What keeps a payload, and says where it is. */
    @FunctionalInterface
    public interface Keeper {
        /** Keeps the bytes that remain; their position stays. */
        PayloadReference keep(ByteBuffer payload) throws IOException;
    }

    /** A payload's place in its record: the bytes, or the reference to them. */
    private record Place(
            String what, SpecificRecord holder, String bytes, String reference, @Nullable ByteBuffer none) {
        @Nullable
        ByteBuffer here() {
            return (ByteBuffer) get(bytes);
        }

        @Nullable
        PayloadReference elsewhere() {
            return (PayloadReference) get(reference);
        }

        void put(@Nullable ByteBuffer payload, @Nullable PayloadReference elsewhere) {
            holder.put(position(bytes), payload);
            holder.put(position(reference), elsewhere);
        }

        private @Nullable Object get(String field) {
            Object value = holder.get(position(field));
            return value instanceof Optional<?> optional ? optional.orElse(null) : value;
        }

        private int position(String field) {
            return holder.getSchema().getField(field).pos();
        }
    }

    private static List<Place> places(SpecificRecord record) {
        ByteBuffer empty = ByteBuffer.allocate(0);
        if (record instanceof SegmentationRecord segmentation) {
            return Stream.concat(
                            Stream.of(new Place("mask", segmentation.getMask(), "data", "reference", empty)),
                            segmentation.getConfidence().stream()
                                    .map(mask -> new Place("confidence", mask, "data", "reference", empty)))
                    .toList();
        } else if (record instanceof FeatureRecord features) {
            return List.of(new Place("tensor", features.getTensor(), "data", "reference", empty));
        } else if (record instanceof FrameFailure) {
            return List.of(new Place("original", record, "original", "originalReference", null));
        }
        return List.of();
    }

    /** Puts references in the place of a record's payloads of more than so many bytes. */
    public static void checkIn(SpecificRecord record, long above, Keeper keeper) throws IOException {
        for (Place place : places(record)) {
            ByteBuffer payload = place.here();
            if (payload != null && payload.remaining() > above) {
                place.put(place.none(), keeper.keep(payload));
            }
        }
    }

    /** As {@link #fetch(SpecificRecord, PayloadStore, long, Duration)}, of {@link #MAX_BYTES} within {@link #PATIENCE}. */
    public static long fetch(SpecificRecord record, PayloadStore store) {
        return fetch(record, store, MAX_BYTES, PATIENCE);
    }

    /**
     * Puts payloads in the place of a record's references, so that it is as it was before these were made.
     *
     * @param maxBytes of a payload
     * @param patience for each
     * @return the bytes of these payloads
     * @throws MalformedRecordException if one cannot be had, with the {@link IOException} as its cause, or is not the one
     *     that the record names
     */
    public static long fetch(SpecificRecord record, PayloadStore store, long maxBytes, Duration patience) {
        long bytes = 0;
        for (Place place : places(record)) {
            PayloadReference reference = place.elsewhere();
            if (reference != null) {
                byte[] payload = read(place.what(), reference, store, maxBytes, patience);
                place.put(ByteBuffer.wrap(payload), null);
                bytes += payload.length;
            }
        }
        return bytes;
    }

    /** @throws MalformedRecordException if a payload is elsewhere */
    static void requireHere(String what, Optional<PayloadReference> reference) {
        if (reference.isPresent()) {
            throw new MalformedRecordException(
                    "%s: its %d bytes are at %s (expected: a reader that was told of the job's claim check)"
                            .formatted(what, reference.get().getLength(), shown(reference.get())));
        }
    }

    private static byte[] read(
            String what, PayloadReference reference, PayloadStore store, long maxBytes, Duration patience) {
        Matcher name = NAME.matcher(reference.getUri());
        String sha256 = reference.getSha256();
        if (!name.find() || !name.group(3).equals(sha256)) {
            throw new MalformedRecordException(
                    "%s: at %s (expected: a URI that ends in a day, two digits of the SHA-256 and the SHA-256)"
                            .formatted(what, shown(reference)));
        }
        long length = reference.getLength();
        if (length < 0 || length > Math.min(maxBytes, Integer.MAX_VALUE - 16)) {
            throw new MalformedRecordException(
                    "%s: %d bytes at %s (expected: at most %d)".formatted(what, length, shown(reference), maxBytes));
        }
        byte[] payload;
        try {
            payload = within(patience, store, name.group(1), (int) length);
        } catch (IOException e) {
            throw new MalformedRecordException(
                    "%s: %s cannot be read: %s (expected: the %d bytes that the record names)"
                            .formatted(what, shown(reference), e, length),
                    e);
        }
        String found = payload.length == length
                ? "other bytes"
                : payload.length > length ? "more bytes" : payload.length + " bytes";
        if (payload.length != length || !sha256(ByteBuffer.wrap(payload)).equals(sha256)) {
            throw new MalformedRecordException(
                    "%s: %s holds %s (expected: %d of this SHA-256)".formatted(what, shown(reference), found, length));
        }
        return payload;
    }

    /** Reads one byte more than there should be, so as to see that there is none. */
    private static byte[] within(Duration patience, PayloadStore store, String name, int length) throws IOException {
        AtomicReference<@Nullable InputStream> opened = new AtomicReference<>();
        FutureTask<byte[]> reading = new FutureTask<>(() -> {
            try (InputStream in = store.open(name)) {
                opened.set(in);
                return in.readNBytes(length + 1);
            }
        });
        READERS.execute(reading);
        try {
            return reading.get(patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e.getCause());
        } catch (TimeoutException e) {
            throw new IOException("not within " + patience.toMillis() + " ms", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        } finally {
            InputStream in = opened.get();
            if (!reading.isDone() && in != null) {
                // What waits for a socket does not hear an interrupt; and closing may wait for the rest.
                CLOSERS.execute(() -> close(in));
            }
            boolean unused = reading.cancel(true) && READERS.remove(reading);
        }
    }

    private static void close(InputStream in) {
        try {
            in.close();
        } catch (IOException e) {
            // Nobody waits for it any more.
        }
    }

    private static String shown(PayloadReference reference) {
        String uri = reference.getUri().replaceAll("[^!-~]", "?");
        return uri.length() <= SHOWN ? uri : uri.substring(0, SHOWN) + "…";
    }

    /** 64 hexadecimal digits of the bytes that remain. */
    public static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes.duplicate());
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    /** The name of a payload below the directory of its claim check. */
    public static String name(LocalDate day, String sha256) {
        return day + "/" + sha256.substring(0, 2) + "/" + sha256;
    }
}
