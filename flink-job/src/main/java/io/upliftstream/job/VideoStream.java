package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.PacketDecoding.Packet;
import io.upliftstream.job.PacketDecoding.Work;
import io.upliftstream.job.VideoState.Camera;
import io.upliftstream.model.video.AccessUnit.Codec;
import io.upliftstream.model.video.VideoDecoder;
import io.upliftstream.model.video.VideoDecoder.Decoded;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The video of one camera: its packets, in the order of decoding, through a decoder that begins at a key frame; every packet
 * ends as exactly one thing, told to {@link VideoWay}. For the subtask's thread.
 *
 * <p>A decoder that begins anew in the midst of a group of pictures, after a restart or a long silence, is first fed the packets
 * since the key frame once more. What came out of these before is not owed any more and ends as nothing.
 */
final class VideoStream {
    /** Packets that are read again and wait for the decoder. */
    private static final int MAX_FED_AGAIN = 32;

    private static final long NONE = KeyFrames.NONE;
    private static final byte[] NOTHING = {};

    private final String cameraId;
    private final Choice choice;
    private final VideoWay way;
    private final PacketDecoding decoding;

    private final Deque<Packet> waiting = new ArrayDeque<>();
    private long waitingBytes;

    /** Offsets of packets without an outcome. */
    private final TreeSet<Long> owed = new TreeSet<>();

    private final KeyFrames keyFrames = new KeyFrames();

    private String topic = "";
    private int partition;
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
    VideoStream(String cameraId, Choice choice, Function<Codec, VideoDecoder> decoders, VideoWay way) {
        this.cameraId = cameraId;
        this.choice = choice;
        this.way = way;
        decoding = new PacketDecoding(choice, decoders, way, owed);
    }

    /** Goes on where a checkpoint left off. */
    void restore(Camera state) {
        topic = state.topic();
        partition = state.partition();
        last = state.last();
        owed.addAll(state.owed());
        parameterSets = state.parameterSets();
        choice.restore(state.shown(), state.nextMicros());
        if (state.start() != NONE) {
            keyFrames.add(state.start(), true);
            needsKeyFrame = false;
            asleep = true;
        }
    }

    /** What a checkpoint has to hold, when no packet waits or is at work. */
    Camera state() {
        return new Camera(
                cameraId,
                topic,
                partition,
                start(),
                last,
                List.copyOf(owed),
                choice.shown(),
                choice.nextMicros(),
                parameterSets);
    }

    private long start() {
        return needsKeyFrame ? NONE : keyFrames.before(owed.isEmpty() ? Long.MAX_VALUE : owed.first());
    }

    /** Takes a packet; it waits for its turn. */
    void take(Frame packet) {
        RawFrame source = packet.source();
        if (last != NONE && (source.partition() != partition || !source.topic().equals(topic))) {
            breakOff();
            keyFrames.clear();
            sequence = null;
        }
        topic = source.topic();
        partition = source.partition();
        last = source.offset();
        owed.add(last);
        waiting.add(new Packet(packet, true));
        waitingBytes += FairQueue.bytes(packet);
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

    /** Begins to take packets that came before. */
    PacketReader.Range feedAgain() {
        Packet next = waiting.peek();
        long to = next == null ? last : Math.min(last, next.offset() - 1);
        missing.addAll(owed.headSet(to, true));
        PacketReader.Range range = new PacketReader.Range(topic, partition, start(), to);
        again = true;
        againIsOver = false;
        asleep = false;
        needsKeyFrame = true;
        sequence = null;
        keyFrames.clear();
        return range;
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
                    missing.forEach(this::lost);
                    missing.clear();
                } else if (flushAtEnd && !again && decoding.isOpen()) {
                    flush = true;
                } else {
                    return null;
                }
                continue;
            }
            if (again) {
                againRoom.release();
            } else {
                waitingBytes -= FairQueue.bytes(packet.frame());
            }
            Work work = work(packet);
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
            waiting.addFirst(packet);
            waitingBytes += FairQueue.bytes(packet.frame());
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

    /** A packet that was read before and is not on the topic any more. */
    private void lost(long offset) {
        owed.remove(offset);
        way.failed(
                cameraId,
                RawFrame.position(topic, partition, offset, cameraId.getBytes(StandardCharsets.UTF_8)),
                PacketDecoding.noPicture(
                        "the packet is no longer on the topic, so that its picture cannot be decoded again"
                                + " (expected: a retention that is longer than an outage)"));
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
        Packet newest = null;
        for (Iterator<Packet> newestFirst = waiting.descendingIterator(); newest == null && newestFirst.hasNext(); ) {
            Packet each = newestFirst.next();
            newest = each.described().key() ? each : null;
        }
        if (newest == null && !choice.keyFramesAlone()) {
            first.onlyAsReference();
        } else if (newest != null && newest != first) {
            decoding.letGo(Reason.MAX_AGE);
            letGoUntil(newest, Reason.MAX_AGE);
        }
    }

    /** Lets packets go that wait, up to the next key frame, or all. */
    void makeRoom() {
        Packet next = waiting.stream()
                .skip(1)
                .filter(packet -> packet.described().key())
                .findFirst()
                .orElse(null);
        letGoUntil(next, Reason.QUEUE_FULL);
    }

    private void letGoUntil(@Nullable Packet end, Reason reason) {
        while (!waiting.isEmpty() && waiting.peek() != end) {
            Packet packet = waiting.remove();
            waitingBytes -= FairQueue.bytes(packet.frame());
            decoding.settle(packet, () -> way.letGo(reason, packet.frame()));
        }
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

    String cameraId() {
        return cameraId;
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

    int packets() {
        return waiting.size();
    }

    /** Whether the oldest packet that waits is late. */
    boolean late() {
        Packet first = waiting.peek();
        return first != null && way.late(first.frame());
    }

    long waitingBytes() {
        return waitingBytes;
    }

    PacketDecoding decoding() {
        return decoding;
    }
}
