package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.PacketDecoding.Packet;
import io.upliftstream.job.PacketDecoding.Work;
import io.upliftstream.job.VideoState.Camera;
import io.upliftstream.job.VideoState.VideoId;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Decoded;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The video of one camera on one partition: its packets, in the order of decoding, through a decoder that begins at a key
 * frame; every packet ends as exactly one thing, told to {@link VideoWay}. For the subtask's thread.
 *
 * <p>A decoder that begins anew in the midst of a group of pictures, after a restart or a long silence, is first fed the packets
 * since the key frame once more. What came out of these before is not owed any more and ends as nothing.
 */
final class VideoStream {
    /** Packets that are read again and wait for the decoder. */
    private static final int MAX_FED_AGAIN = 32;

    /** Records that may have to be read again; a video that others' records hold apart by more waits for a key frame. */
    static final int MAX_READ_AGAIN = 32_768;

    private static final long NONE = KeyFrames.NONE;
    private static final byte[] NOTHING = {};

    private final VideoId id;
    private final Choice choice;
    private final VideoWay way;
    private final PacketDecoding decoding;

    private final WaitingPackets waiting;

    /** Offsets of packets without an outcome. */
    private final TreeSet<Long> owed = new TreeSet<>();

    private final KeyFrames keyFrames = new KeyFrames();

    private long heardMillis;
    private long last = NONE;
    private @Nullable Long sequence;
    private byte[] parameterSets = NOTHING;

    private boolean working;
    private boolean needsKeyFrame = true;
    private boolean flush;
    private boolean flushAtEnd;
    /** Nothing is in the decoder, and the next packet needs what came before it. */
    private boolean asleep;

    // while packets are fed again
    private boolean again;
    private boolean againIsOver;
    private final Deque<Packet> fedAgain = new ArrayDeque<>();
    private final Semaphore againRoom = new Semaphore(MAX_FED_AGAIN);
    private final TreeSet<Long> missing = new TreeSet<>();

    /** @param decoders opens one; called by a decoder's thread */
    VideoStream(
            VideoId id,
            Choice choice,
            Function<Codec, VideoDecoder> decoders,
            VideoWay way,
            WaitingPackets.Total total) {
        this.id = id;
        waiting = new WaitingPackets(total);
        this.choice = choice;
        this.way = way;
        decoding = new PacketDecoding(choice, decoders, way, owed);
    }

    /** Goes on where a checkpoint left off. */
    void restore(Camera state, long nowMillis) {
        heardMillis = nowMillis;
        last = state.last();
        owed.addAll(state.owed());
        parameterSets = state.parameterSets();
        choice.restore(state.shown(), state.nextMicros());
        if (state.start() != NONE) {
            keyFrames.add(state.start(), true);
            needsKeyFrame = false;
        }
        asleep = !needsKeyFrame || !owed.isEmpty();
    }

    /** What a checkpoint has to hold, when no packet waits or is at work. */
    Camera state() {
        return new Camera(id, start(), last, List.copyOf(owed), choice.shown(), choice.nextMicros(), parameterSets);
    }

    private long start() {
        return needsKeyFrame ? NONE : keyFrames.before(owed.isEmpty() ? Long.MAX_VALUE : owed.first());
    }

    /** Takes a packet; it waits for its turn. */
    void take(Frame packet, long nowMillis) {
        heardMillis = nowMillis;
        last = packet.source().offset();
        owed.add(last);
        waiting.add(new Packet(packet, true));
    }

    /** Whether packets have to be fed again before the next one; if so, {@link #feedAgain} comes next. */
    boolean wantsMore() {
        boolean ends = flushAtEnd && !owed.isEmpty();
        if (!asleep || again || working || (waiting.isEmpty() && !ends)) {
            return false;
        }
        Packet next = waiting.peek();
        if (next != null && owed.first() >= next.offset() && next.described().clean()) {
            asleep = false;
            needsKeyFrame = true;
            return false;
        }
        return true;
    }

    /** Begins to take packets that came before; null if they cannot be had: then it begins at the next key frame. */
    PacketReader.@Nullable Range feedAgain() {
        Packet next = waiting.peek();
        long to = next == null ? last : Math.min(last, next.offset() - 1);
        long from = start();
        if (from == NONE || to - from >= MAX_READ_AGAIN) {
            giveUp(
                    to,
                    "the packets since the key frame cannot be read again, so that the picture is not decoded (expected: a"
                            + " key frame within the last %d records of the partition)".formatted(MAX_READ_AGAIN));
            return null;
        }
        missing.addAll(owed.headSet(to, true));
        again = true;
        againIsOver = false;
        beginAnew();
        return new PacketReader.Range(id.topic(), id.partition(), from, to);
    }

    /** Gives up what was in the decoder when the stream fell asleep. */
    void forget() {
        giveUp(
                last,
                "the camera fell silent with pictures in its decoder, and a thousand others came (expected: fewer)");
    }

    private void giveUp(long to, String why) {
        List.copyOf(owed.headSet(to, true)).forEach(offset -> lost(offset, why));
        beginAnew();
    }

    private void beginAnew() {
        asleep = false;
        needsKeyFrame = true;
        sequence = null;
        keyFrames.clear();
    }

    /** As many packets that are read again may come; of any thread. */
    Semaphore againRoom() {
        return againRoom;
    }

    void fedAgain(Frame packet) {
        missing.remove(packet.source().offset());
        fedAgain.add(new Packet(packet, owed.contains(packet.source().offset())));
    }

    void fedAgainWhole() {
        againIsOver = true;
    }

    /** The next thing to do; null if there is none, or not yet. */
    @Nullable
    Work next() {
        while (true) {
            if (flush) {
                flush = false;
                if (decoding.isOpen()) {
                    working = true;
                    return decoding.flush();
                }
                emptied();
            }
            Packet packet = again ? fedAgain.poll() : waiting.poll();
            if (packet == null) {
                if (again && againIsOver) {
                    again = false;
                    missing.forEach(offset -> lost(
                            offset,
                            "the packet is no longer on the topic, so that its picture cannot be decoded again"
                                    + " (expected: a retention that is longer than an outage)"));
                    missing.clear();
                } else if (flushAtEnd && !again && decoding.isOpen()) {
                    flush = true;
                } else {
                    return null;
                }
                continue;
            }
            Work work = work(packet);
            if (again && fedAgain.peek() != packet) {
                againRoom.release();
            }
            if (work != null) {
                working = true;
                return work;
            }
        }
    }

    /** What a packet gives to do; null if it has its outcome, or is put back behind something else. */
    private @Nullable Work work(Packet packet) {
        Frame frame = packet.frame();
        Frame.Packet described = packet.described();
        if (choice.keyFramesAlone()) {
            if (!described.key()) {
                decoding.settle(packet, way::passedOver);
                return null;
            }
            needsKeyFrame = true;
        } else if (!needsKeyFrame) {
            long step = sequence == null || !described.counted() ? 1 : frame.sequence() - sequence;
            if (step <= 0 && !described.key()) { // again, or too late
                return undecodable(packet);
            } else if (step != 1 || !decoding.takes(described.codec())) {
                putBack(packet);
                breakOff();
                return null;
            }
        }
        sequence = described.counted() ? frame.sequence() : null;
        byte[] sets = described.parameterSets();
        parameterSets = sets == null ? parameterSets : sets;
        if (!described.picture()) {
            decoding.settle(packet, way::passedOver);
            return null;
        } else if (needsKeyFrame && !described.key()) {
            return undecodable(packet);
        } else if (needsKeyFrame) {
            needsKeyFrame = false;
            decoding.beginsAt(described);
        }
        if (described.key() && !choice.keyFramesAlone()) {
            keyFrames.add(packet.offset(), described.clean());
            keyFrames.forget(start());
        }
        boolean complete = described.complete() || !described.key();
        return decoding.work(packet, complete ? NOTHING : parameterSets);
    }

    private @Nullable Work undecodable(Packet packet) {
        decoding.settle(packet, () -> way.letGo(Reason.NO_KEY_FRAME, packet.frame()));
        return null;
    }

    private void putBack(Packet packet) {
        if (again) {
            fedAgain.addFirst(packet);
        } else {
            waiting.putBack(packet);
        }
    }

    /** Takes what the work has brought. */
    void done(Work work, @Nullable Decoded decoded, @Nullable Throwable failure) {
        working = false;
        if (failure != null || decoded == null) {
            decoding.gone(failure);
            breakOff();
            return;
        }
        if (decoding.done(work, decoded) && work.source() != null) {
            breakOff();
        }
        if (work.source() == null || choice.keyFramesAlone()) {
            emptied();
        }
    }

    private void emptied() {
        decoding.emptied();
        asleep = !needsKeyFrame && !choice.keyFramesAlone();
    }

    /** A packet that was read before and whose picture does not come. */
    private void lost(long offset, String why) {
        owed.remove(offset);
        way.failed(id, offset, PacketDecoding.noPicture(why));
    }

    /** Nothing more is decoded until the next key frame; what is inside comes out. */
    private void breakOff() {
        needsKeyFrame = true;
        asleep = false;
        flush = true;
    }

    /** Refuses the packet that the work is about, undone. */
    void refuse(Work work, FrameProblem problem) {
        working = false;
        decoding.refuse(work, problem);
        breakOff();
    }

    /**
     * Catches up, where the oldest packet that waits is late: everything before the newest key frame that waits is let go
     * undecoded; without one, what no other picture needs is not decoded.
     */
    void catchUp() {
        Packet first = waiting.peek();
        if (first == null || working || again || !late()) {
            return;
        }
        Packet newest = waiting.newestKey();
        if (newest == null && !choice.keyFramesAlone()) {
            first.onlyAsReference();
        } else if (newest != null && newest != first) {
            decoding.letGo(Reason.MAX_AGE);
            letGoUntil(newest, Reason.MAX_AGE);
        }
    }

    /** Lets packets go that wait, up to the next key frame, or all. */
    void makeRoom() {
        letGoUntil(waiting.nextKey(), Reason.QUEUE_FULL);
    }

    private void letGoUntil(@Nullable Packet end, Reason reason) {
        waiting.takeUntil(end, packet -> decoding.settle(packet, () -> way.letGo(reason, packet.frame())));
        breakOff();
        sequence = null;
    }

    /** The pictures in the decoder are to come out, once nothing waits. */
    void end() {
        flushAtEnd = true;
    }

    /**
     * Frees the decoder until the next packet. Pictures inside stay there, so to say: let out now, a reference would overtake
     * the B-frames that come before it.
     */
    void sleep() {
        if (decoding.isOpen() && waiting.isEmpty() && !again && !working && !flush) {
            decoding.forget();
            asleep = !needsKeyFrame;
        }
    }

    VideoId id() {
        return id;
    }

    /** When the newest packet came. */
    long heardMillis() {
        return heardMillis;
    }

    /** Whether pictures are owed that come only once the stream is fed again, and nothing waits. */
    boolean asleep() {
        return asleep && idle();
    }

    /** Whether a decoder's thread is at work. */
    boolean working() {
        return working;
    }

    /** Whether there is nothing to do, and nothing on its way. */
    boolean idle() {
        return !working && !again && waiting.isEmpty() && !flush && !(flushAtEnd && decoding.isOpen()) && !wantsMore();
    }

    /** Whether it could be forgotten and begin again at a key frame. */
    boolean empty() {
        return idle() && owed.isEmpty() && !decoding.isOpen();
    }

    WaitingPackets waiting() {
        return waiting;
    }

    /** Whether the oldest packet that waits is late. */
    boolean late() {
        Packet first = waiting.peek();
        return first != null && way.late(first.frame());
    }

    PacketDecoding decoding() {
        return decoding;
    }
}
