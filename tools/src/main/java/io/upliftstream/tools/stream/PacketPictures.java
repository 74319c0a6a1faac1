package io.upliftstream.tools.stream;

import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.PacketDecoder;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongFunction;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;

/**
 * The pictures of packets on one partition of the input topic: each is decoded from the key frame before it, or goes on
 * from the one asked for before. For use by one thread at a time.
 */
final class PacketPictures implements AutoCloseable {
    /** Decoders, and pictures that are kept of each. */
    private static final int MAX_CAMERAS = 8;

    private static final int MAX_KEPT = 32;
    /** Records that are looked at for a key frame, or for the packets that a picture waits for. */
    private static final int MAX_RECORDS = 32_768;

    private static final int FIRST_WINDOW = 32;

    private static final class Stream {
        final PacketDecoder decoder;
        final Map<Long, BufferedImage> pictures = new LinkedHashMap<>();
        long fed = -1;

        Stream(PacketDecoder decoder) {
            this.decoder = decoder;
        }
    }

    private final LongFunction<Optional<VideoPacket>> packets;
    private final boolean inOrder;
    private final Map<String, Stream> streams = new LinkedHashMap<>(16, 0.75f, true);

    /**
     * @param packets what is at an offset; empty for something else, or nothing
     * @param inOrder whether the next pictures are asked for soon
     */
    PacketPictures(LongFunction<Optional<VideoPacket>> packets, boolean inOrder) {
        this.packets = packets;
        this.inOrder = inOrder;
    }

    /** The picture of a packet; empty if it cannot be decoded with what is there. */
    Optional<BufferedImage> picture(VideoPacket packet, long offset, long first, long end) throws IOException {
        Stream stream = streams.get(packet.getCameraId());
        if (stream == null) {
            if (streams.size() == MAX_CAMERAS) {
                String oldest = streams.keySet().iterator().next();
                Stream removed = streams.remove(oldest);
                if (removed != null) {
                    removed.decoder.close();
                }
            }
            stream = new Stream(new PacketDecoder(packet.getCodec()));
            streams.put(packet.getCameraId(), stream);
        }
        BufferedImage kept = stream.pictures.get(offset);
        boolean ahead = kept == null && inOrder && stream.fed >= 0 && offset > stream.fed;
        if (ahead) {
            kept = feed(stream, packet.getCameraId(), stream.fed + 1, offset, end);
        }
        // Before an open group's key frame there are pictures that need the group before it.
        long from = offset;
        for (int groups = 0; kept == null && groups < 2 && from >= first; groups++, from--) {
            from = keyFrame(packet.getCameraId(), from, first);
            if (from < 0) {
                break;
            }
            Map<Long, BufferedImage> unused = stream.decoder.flush(number -> false);
            kept = feed(stream, packet.getCameraId(), from, offset, end);
        }
        return Optional.ofNullable(kept);
    }

    /** Where the newest key frame at or before an offset is; -1 if there is none near it. */
    private long keyFrame(String camera, long from, long first) {
        long end = from + 1; // what is behind it was looked at
        for (long window = FIRST_WINDOW; window <= MAX_RECORDS && end > first; window *= 4) {
            long start = Math.max(first, from + 1 - window);
            long found = -1;
            for (long at = start; at < end; at++) { // records come in their order
                found = packet(camera, at).filter(VideoPacket::getKeyFrame).isPresent() ? at : found;
            }
            if (found >= 0) {
                return found;
            }
            end = start;
        }
        return -1;
    }

    /** Decodes from an offset on until the wanted picture is there, or nothing more is; null then. */
    private @Nullable BufferedImage feed(Stream stream, String camera, long from, long wanted, long end)
            throws IOException {
        LongPredicate converted = number -> number == wanted || (inOrder && number >= from);
        for (long at = from; at < end && at < wanted + MAX_RECORDS; at++) {
            Optional<VideoPacket> packet = packet(camera, at);
            stream.fed = at;
            if (packet.isPresent()) {
                keep(stream, stream.decoder.decode(CameraFrames.unit(packet.get()), at, converted));
                BufferedImage picture = stream.pictures.get(wanted);
                if (picture != null) {
                    return picture;
                }
            }
        }
        keep(stream, stream.decoder.flush(converted));
        stream.fed = -1;
        return stream.pictures.get(wanted);
    }

    private static void keep(Stream stream, Map<Long, BufferedImage> pictures) {
        stream.pictures.putAll(pictures);
        while (stream.pictures.size() > MAX_KEPT) {
            stream.pictures.remove(stream.pictures.keySet().iterator().next());
        }
    }

    private Optional<VideoPacket> packet(String camera, long offset) {
        try {
            return packets.apply(offset).filter(packet -> packet.getCameraId().equals(camera));
        } catch (MalformedRecordException e) {
            return Optional.empty();
        }
    }

    @Override
    public void close() {
        streams.values().forEach(stream -> stream.decoder.close());
    }
}
