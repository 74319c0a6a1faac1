package io.upliftstream.job;

import io.upliftstream.job.PacketDecoding.Packet;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Packets of one video that wait for their decoder, the oldest first. */
final class WaitingPackets {
    /** Those of all videos of a subtask. */
    static final class Total {
        private int packets;
        private long bytes;

        int packets() {
            return packets;
        }

        long bytes() {
            return bytes;
        }
    }

    private final Total total;
    private final Deque<Packet> packets = new ArrayDeque<>();
    private long bytes;
    private @Nullable Packet newestKey;

    WaitingPackets(Total total) {
        this.total = total;
    }

    void add(Packet packet) {
        packets.add(packet);
        count(packet, 1);
        newestKey = packet.described().key() ? packet : newestKey;
    }

    void putBack(Packet packet) {
        packets.addFirst(packet);
        count(packet, 1);
        newestKey = newestKey == null && packet.described().key() ? packet : newestKey;
    }

    @Nullable
    Packet peek() {
        return packets.peek();
    }

    @Nullable
    Packet poll() {
        Packet packet = packets.poll();
        if (packet != null) {
            count(packet, -1);
            newestKey = newestKey == packet ? null : newestKey;
        }
        return packet;
    }

    private void count(Packet packet, int sign) {
        long change = sign * FairQueue.bytes(packet.frame());
        bytes += change;
        total.bytes += change;
        total.packets += sign;
    }

    /** The newest key frame that waits. */
    @Nullable
    Packet newestKey() {
        return newestKey;
    }

    /** The oldest key frame behind the first packet. */
    @Nullable
    Packet nextKey() {
        return packets.stream()
                .skip(1)
                .filter(packet -> packet.described().key())
                .findFirst()
                .orElse(null);
    }

    /** Takes all before one packet, or all. */
    void takeUntil(@Nullable Packet end, Consumer<Packet> taken) {
        for (Packet next = peek(); next != null && next != end; next = peek()) {
            poll();
            taken.accept(next);
        }
    }

    boolean isEmpty() {
        return packets.isEmpty();
    }

    long bytes() {
        return bytes;
    }
}
