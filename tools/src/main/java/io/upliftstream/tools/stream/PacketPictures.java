package io.upliftstream.tools.stream;

import io.upliftstream.model.FrameDecoder;
import io.upliftstream.model.Picture;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Shown;
import io.upliftstream.schemas.MalformedRecordException;
import io.upliftstream.schemas.VideoPacket;
import io.upliftstream.tools.camera.Images;
import java.awt.image.BufferedImage;
import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;

/**
 * The pictures of packets on the input topic: each is decoded from the key frame before it, or goes on from the one asked
 * for before. For use by one thread at a time.
 */
final class PacketPictures implements AutoCloseable {
    private static final int MAX_DECODERS = 32;
    /** Bytes of pictures that are kept. */
    private static final long MAX_BYTES = 256 << 20;
    /** Records that are looked at for a key frame, or for the packets that a picture waits for. */
    private static final int MAX_RECORDS = 32_768;
    /** Packets, of two fields each if need be, after which a decoder holds no picture back. */
    private static final int MAX_HELD_BACK = 32;

    private static final int FIRST_WINDOW = 32;

    /** Reads the topic. */
    interface Packets {
        /** What is at a place; empty for something else, or nothing. */
        Optional<VideoPacket> at(int partition, long offset);
    }

    /** A camera that changes its codec is another video. */
    private record Video(int partition, String camera, Codec codec) {}

    private record Place(int partition, long offset) {}

    private static final class Stream {
        final VideoDecoder decoder;
        long fed = -1;

        Stream(VideoDecoder decoder) {
            this.decoder = decoder;
        }
    }

    private final Packets packets;
    private final boolean inOrder;
    private final Duration patience;
    private final Map<Video, Stream> streams = new LinkedHashMap<>(16, 0.75f, true);
    private final Map<Place, BufferedImage> pictures = new LinkedHashMap<>();
    private long bytes;
    private long deadline;

    /**
     * @param inOrder whether the next pictures are asked for soon; if not, none is kept but the one that was asked for
     * @param patience after which a picture that has not come is given up
     */
    PacketPictures(Packets packets, boolean inOrder, Duration patience) {
        this.packets = packets;
        this.inOrder = inOrder;
        this.patience = patience;
    }

    /**
     * The picture of a packet; empty if it cannot be decoded with what is there.
     *
     * @param first offset on the partition
     * @param end of the partition
     * @throws MalformedRecordException if the packet's codec is not known
     */
    Optional<BufferedImage> picture(VideoPacket packet, int partition, long offset, long first, long end) {
        deadline = System.nanoTime() + patience.toNanos();
        if (!inOrder) {
            pictures.clear();
            bytes = 0;
        }
        Video video = new Video(partition, packet.getCameraId(), CameraFrames.codec(packet));
        BufferedImage kept = pictures.get(new Place(partition, offset));
        Stream stream = streams.get(video);
        if (kept == null && inOrder && stream != null && offset > stream.fed && offset - stream.fed <= MAX_RECORDS) {
            kept = feed(video, stream, stream.fed + 1, offset, end);
        }
        // Before an open group's key frame there are pictures that need the group before it.
        long from = offset;
        for (int groups = 0; kept == null && groups < 2 && from >= first && isInTime(); groups++, from--) {
            from = keyFrame(video, from, first);
            if (from < 0) {
                break;
            }
            kept = feed(video, begin(video), from, offset, end);
        }
        if (!inOrder) {
            end(video);
        }
        return Optional.ofNullable(kept);
    }

    private Stream begin(Video video) {
        end(video);
        if (streams.size() == MAX_DECODERS) {
            end(streams.keySet().iterator().next());
        }
        Stream stream = new Stream(new VideoDecoder(video.codec, FrameDecoder.DEFAULT_MAX_PIXELS));
        streams.put(video, stream);
        return stream;
    }

    private void end(Video video) {
        Stream stream = streams.remove(video);
        if (stream != null) {
            stream.decoder.close();
        }
    }

    private boolean isInTime() {
        return System.nanoTime() - deadline < 0;
    }

    /** Where the newest key frame at or before an offset is; -1 if there is none near it. */
    private long keyFrame(Video video, long from, long first) {
        long end = from + 1; // what is behind it was looked at
        for (long window = FIRST_WINDOW; window <= MAX_RECORDS && end > first; window *= 4) {
            long start = Math.max(first, from + 1 - window);
            long found = -1;
            for (long at = start; at < end && isInTime(); at++) { // records come in their order
                found = packet(video, at).filter(CameraFrames::isKeyFrame).isPresent() ? at : found;
            }
            if (found >= 0) {
                return found;
            }
            end = start;
        }
        return -1;
    }

    /** Decodes from an offset on until the wanted picture is there, or nothing more of it can come; null then. */
    private @Nullable BufferedImage feed(Video video, Stream stream, long from, long wanted, long end) {
        Place place = new Place(video.partition, wanted);
        LongPredicate converted = number -> number == wanted || (inOrder && number >= from);
        int after = 0;
        for (long at = from; at < Math.min(end, wanted + MAX_RECORDS) && after < MAX_HELD_BACK && isInTime(); at++) {
            Optional<VideoPacket> packet = packet(video, at);
            stream.fed = at;
            if (packet.isPresent()) {
                after += at > wanted ? 1 : 0;
                byte[] unit = CameraFrames.unit(packet.get());
                keep(video, stream.decoder.decode(at, unit, false, converted).shown());
                BufferedImage picture = pictures.get(place);
                if (picture != null) {
                    return picture;
                }
            }
        }
        keep(video, stream.decoder.flush(converted));
        end(video); // nothing may come behind that
        return pictures.get(place);
    }

    private void keep(Video video, List<Shown> shown) {
        for (Shown each : shown) {
            Picture picture = each.picture();
            if (picture != null) {
                Place place = new Place(video.partition, each.packet());
                bytes -= bytes(pictures.remove(place));
                BufferedImage upright = Images.upright(picture);
                pictures.put(place, upright);
                bytes += bytes(upright);
            }
        }
        Iterator<BufferedImage> oldest = pictures.values().iterator();
        while (bytes > MAX_BYTES && pictures.size() > 1) {
            bytes -= bytes(oldest.next());
            oldest.remove();
        }
    }

    private static long bytes(@Nullable BufferedImage picture) {
        return picture == null ? 0 : 3L * picture.getWidth() * picture.getHeight();
    }

    private Optional<VideoPacket> packet(Video video, long offset) {
        try {
            return packets.at(video.partition, offset)
                    .filter(packet ->
                            packet.getCameraId().equals(video.camera) && CameraFrames.codec(packet) == video.codec);
        } catch (MalformedRecordException e) {
            return Optional.empty();
        }
    }

    @Override
    public void close() {
        streams.values().forEach(stream -> stream.decoder.close());
    }
}
