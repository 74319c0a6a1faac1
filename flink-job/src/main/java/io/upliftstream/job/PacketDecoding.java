package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.FrameProblem.Stage;
import io.upliftstream.model.FrameException;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Decoded;
import io.upliftstream.model.video.VideoDecoder.Shown;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;

/**
 * One camera's decoder and the packets in it: which picture is of which packet, and what becomes of packets that give none.
 * For the subtask's thread, but for {@link Work#run}.
 */
final class PacketDecoding {
    /** Packets behind the newest picture of which none comes any more: a decoder reorders 16 pictures, or 32 fields. */
    private static final int MAX_REORDER = 64;

    private static final long UNBROKEN = Long.MAX_VALUE;

    private enum Verdict {
        PASSED_OVER,
        LATE,
        WANTED
    }

    /** A packet whose outcome is not out, or which is fed again. */
    static final class Packet {
        /** Without the data once the decoder has them. */
        private Frame frame;

        private final boolean owed;
        private boolean referenceOnly;
        private Verdict verdict = Verdict.PASSED_OVER;

        /** @param owed whether it has no outcome yet */
        Packet(Frame frame, boolean owed) {
            this.frame = frame;
            this.owed = owed;
        }

        Frame frame() {
            return frame;
        }

        Frame.Packet described() {
            return Objects.requireNonNull(frame.packet());
        }

        long offset() {
            return frame.source().offset();
        }

        /** Its picture is decoded only if others need it. */
        void onlyAsReference() {
            referenceOnly = true;
        }
    }

    private final Choice choice;
    private final Function<Codec, VideoDecoder> decoders;
    private final VideoWay way;
    private final Set<Long> owed;

    private Holder holder = new Holder();
    private @Nullable Codec codec;

    /** By the numbers that the decoder knows. */
    private final Map<Long, Packet> inside = new LinkedHashMap<>();

    private final TreeSet<Long> cleanNumbers = new TreeSet<>();
    private long number;
    private long firstNumber;
    private boolean openStart;
    private boolean fields;
    private long brokenAt = UNBROKEN;

    /**
     * @param decoders opens one; called by a decoder's thread
     * @param owed offsets of packets without an outcome, which are taken out as they have one
     */
    PacketDecoding(Choice choice, Function<Codec, VideoDecoder> decoders, VideoWay way, Set<Long> owed) {
        this.choice = choice;
        this.decoders = decoders;
        this.way = way;
        this.owed = owed;
    }

    /** A decoder, which is freed at once, or by the thread that is in it when that comes back. */
    private static final class Holder {
        private volatile @Nullable VideoDecoder decoder;
        private boolean running;
        private volatile boolean givenUp;

        private synchronized void enter() {
            if (givenUp) {
                throw new IllegalStateException("the decoder was given up");
            }
            running = true;
        }

        private synchronized void leave() {
            running = false;
            closeIfFree();
        }

        synchronized void giveUp() {
            givenUp = true;
            closeIfFree();
        }

        private void closeIfFree() {
            VideoDecoder open = decoder;
            if (givenUp && !running && open != null) {
                decoder = null;
                open.close();
            }
        }
    }

    /** What a decoder's thread has to do. */
    final class Work {
        private final Holder itsHolder = holder;
        private final @Nullable Packet packet;
        private final long packetNumber = number;
        private final byte[] data;
        private @Nullable Frame rest;

        private Work(@Nullable Packet packet, byte[] data) {
            this.packet = packet;
            this.data = data;
        }

        /** The record that is at work; null where a decoder is emptied. */
        @Nullable
        RawFrame source() {
            return packet == null ? null : packet.frame.source();
        }

        /** On a decoder's thread. */
        Decoded run() {
            itsHolder.enter();
            try {
                rest = packet == null ? null : rest(packet); // here, since the subtask's thread is busier
                return decode();
            } finally {
                itsHolder.leave();
            }
        }

        private static Frame rest(Packet packet) {
            return packet.owed // then it may become a failure, whose record has the digest
                    ? packet.frame.withDigest()
                    : packet.frame.withoutImage();
        }

        private Decoded decode() {
            VideoDecoder mine = itsHolder.decoder;
            if (packet == null) {
                return new Decoded(mine == null ? List.of() : mine.flush(this::wanted), null);
            }
            if (mine == null) {
                mine = decoders.apply(Objects.requireNonNull(codec));
                itsHolder.decoder = mine;
            }
            Decoded decoded = mine.decode(packetNumber, data, packet.referenceOnly, this::wanted);
            if (choice.keyFramesAlone()) { // which would be held back until the next one
                List<Shown> shown = new ArrayList<>(decoded.shown());
                shown.addAll(mine.flush(this::wanted));
                return new Decoded(shown, decoded.problem());
            }
            return decoded;
        }

        private boolean wanted(long shown) {
            Packet of = itsHolder.givenUp ? null : inside.get(shown);
            if (of == null || !of.owed) {
                return false;
            }
            boolean chosen = choice.test(of.frame);
            of.verdict = !chosen ? Verdict.PASSED_OVER : way.late(of.frame) ? Verdict.LATE : Verdict.WANTED;
            return of.verdict == Verdict.WANTED;
        }
    }

    boolean isOpen() {
        return holder.decoder != null;
    }

    /** Whether it decodes such packets. */
    boolean takes(Codec other) {
        return codec == other;
    }

    /** The next packet is a key frame, and nothing is inside. */
    void beginsAt(Frame.Packet keyFrame) {
        openStart = !keyFrame.clean();
        firstNumber = number + 1;
        codec = keyFrame.codec();
    }

    /** @param before parameter sets that the decoder gets before the packet's data */
    Work work(Packet packet, byte[] before) {
        byte[] image = packet.frame.image();
        byte[] data = image;
        if (before.length > 0) {
            data = Arrays.copyOf(before, before.length + image.length);
            System.arraycopy(image, 0, data, before.length, image.length);
        }
        number++;
        if (packet.described().clean()) {
            cleanNumbers.add(number);
        }
        inside.put(number, packet);
        return new Work(packet, data);
    }

    /** Takes out what is inside. */
    Work flush() {
        return new Work(null, new byte[0]);
    }

    /**
     * Takes what the work has brought.
     *
     * @return whether decoding has to begin anew at a key frame
     */
    boolean done(Work work, Decoded decoded) {
        Packet packet = work.packet;
        Frame whole = packet == null ? null : packet.frame;
        if (packet != null) {
            packet.frame = Objects.requireNonNull(work.rest);
        }
        decoded.shown().forEach(this::show);
        String problem = decoded.problem();
        if (packet != null && whole != null && problem != null) {
            brokenAt = Math.min(brokenAt, work.packetNumber);
            if (inside.remove(work.packetNumber) != null) {
                settle(packet, () -> way.failed(whole, damaged("the packet cannot be decoded: " + problem)));
            }
        }
        passed(number - MAX_REORDER); // some packets bring neither picture nor problem
        return brokenAt != UNBROKEN;
    }

    private void show(Shown shown) {
        Packet packet = inside.remove(shown.packet());
        if (packet == null) {
            return;
        }
        fields = shown.interlaced();
        boolean leading = openStart && shown.packet() > firstNumber && inside.containsKey(firstNumber);
        Long clean = cleanNumbers.floor(shown.packet());
        passed(Math.max(clean == null ? 0 : clean, shown.packet() - MAX_REORDER));
        if (shown.packet() > brokenAt || (shown.damaged() && leading)) {
            settle(packet, () -> way.letGo(Reason.NO_KEY_FRAME, packet.frame));
        } else if (shown.damaged()) {
            brokenAt = shown.packet();
            settle(packet, () -> way.failed(packet.frame, damaged("the picture is damaged")));
        } else if (shown.picture() != null) {
            settle(packet, () -> way.enqueue(packet.frame.with(shown.picture())));
        } else if (packet.verdict == Verdict.LATE) {
            settle(packet, () -> way.letGo(Reason.MAX_AGE, packet.frame));
        } else {
            settle(packet, way::passedOver);
        }
    }

    /** Of the packets before a number no picture comes any more. */
    private void passed(long none) {
        without(before -> before < none);
        NavigableSet<Long> behind = cleanNumbers.headSet(none, true);
        openStart &= behind.isEmpty() || behind.last() <= firstNumber;
        cleanNumbers.headSet(none).clear();
    }

    /** Of the packets with these numbers no picture comes any more. */
    private void without(LongPredicate numbers) {
        for (Iterator<Map.Entry<Long, Packet>> each = inside.entrySet().iterator(); each.hasNext(); ) {
            Map.Entry<Long, Packet> entry = each.next();
            long packetNumber = entry.getKey();
            if (!numbers.test(packetNumber)) {
                continue;
            }
            each.remove();
            Packet packet = entry.getValue();
            if (packet.referenceOnly) {
                settle(packet, () -> way.letGo(Reason.MAX_AGE, packet.frame));
            } else if (packetNumber > brokenAt
                    || (openStart && packetNumber > firstNumber && isInFirstGroup(packetNumber))) {
                settle(packet, () -> way.letGo(Reason.NO_KEY_FRAME, packet.frame));
            } else if (fields) {
                settle(packet, way::passedOver);
            } else {
                FrameProblem none = noPicture("the decoder gave no picture of the packet (expected: one)");
                settle(packet, () -> way.failed(packet.frame, none));
            }
        }
    }

    private boolean isInFirstGroup(long packetNumber) {
        Long clean = cleanNumbers.higher(firstNumber);
        return clean == null || packetNumber < clean;
    }

    /** The decoder has given all that it had. */
    void emptied() {
        without(all -> true);
        brokenAt = UNBROKEN;
        forget();
    }

    /** Frees the decoder with what is inside, which stays owed. */
    void forget() {
        inside.clear();
        cleanNumbers.clear();
        close();
    }

    /** The decoder is lost, with all that is in it. */
    void gone(@Nullable Throwable failure) {
        FrameProblem problem = FrameProblem.of(
                failure instanceof FrameException || failure instanceof Error
                        ? failure
                        : new FrameException(
                                FrameException.Reason.CORRUPT_PACKET,
                                "the packet cannot be decoded: " + failure,
                                failure));
        endAll(packet -> way.failed(packet.frame, problem));
        if (failure instanceof FrameException late && late.reason() == FrameException.Reason.DECODER_TIMEOUT) {
            close();
        }
    }

    /** Refuses the packet that the work is about, undone. */
    void refuse(Work work, FrameProblem problem) {
        Packet packet = work.packet;
        if (packet != null && inside.remove(work.packetNumber) != null) {
            brokenAt = Math.min(brokenAt, work.packetNumber);
            settle(packet, () -> way.failed(packet.frame, problem));
        }
    }

    /** Lets what is inside go. */
    void letGo(Reason reason) {
        endAll(packet -> way.letGo(reason, packet.frame));
    }

    private void endAll(Consumer<Packet> outcome) {
        List<Packet> all = List.copyOf(inside.values());
        inside.clear();
        all.forEach(packet -> settle(packet, () -> outcome.accept(packet)));
    }

    /** A packet that was fed again ends as nothing: it had its outcome before. */
    void settle(Packet packet, Runnable outcome) {
        if (packet.owed) {
            owed.remove(packet.offset());
            outcome.run();
        }
    }

    private static FrameProblem damaged(String what) {
        return FrameProblem.of(new FrameException(
                FrameException.Reason.CORRUPT_PACKET, what + " (expected: whole packets, none of them missing)"));
    }

    static FrameProblem noPicture(String what) {
        return new FrameProblem(Stage.DECODE, FrameProblem.Reason.NO_PICTURE, what);
    }

    /** Bytes that the decoder takes, estimated; 0 without one. */
    long bytes() {
        VideoDecoder open = holder.decoder;
        return open == null ? 0 : open.bytes();
    }

    /** Frees the decoder, once no thread is in it. */
    void close() {
        holder.giveUp();
        holder = new Holder();
    }
}
