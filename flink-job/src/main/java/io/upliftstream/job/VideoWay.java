package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.VideoState.VideoId;
import java.nio.charset.StandardCharsets;

/** The way of packets between their decoders and the frames of the operator. For the subtask's thread, but for {@link #late}. */
final class VideoWay {
    /** Decoded pictures of a camera that wait for their turn in live mode; the others wait as packets. */
    private static final int MAX_PICTURES = 2;

    private final boolean live;
    private final boolean latestOnly;
    private final FairQueue waiting;
    private final CameraLanes lanes;
    private final Departures departures;
    private final Quarantine quarantine;
    private final AdmissionGate gate;
    private final JobMetrics jobMetrics;
    private final Runnable moved;

    /** @param moved told when something came out, or there is room */
    VideoWay(
            boolean live,
            boolean latestOnly,
            FairQueue waiting,
            CameraLanes lanes,
            Departures departures,
            Quarantine quarantine,
            AdmissionGate gate,
            JobMetrics jobMetrics,
            Runnable moved) {
        this.live = live;
        this.latestOnly = latestOnly;
        this.waiting = waiting;
        this.lanes = lanes;
        this.departures = departures;
        this.quarantine = quarantine;
        this.gate = gate;
        this.jobMetrics = jobMetrics;
        this.moved = moved;
    }

    /** A frame waits for its turn at the model: a bare image as it came, or a packet's picture, in the order of showing. */
    void enqueue(Frame frame) {
        if (latestOnly) {
            waiting.clear(frame.cameraId(), older -> departures.letGo(Reason.SUPERSEDED, older));
        }
        if (!waiting.add(frame)) {
            departures.letGo(Reason.QUEUE_FULL, frame);
        }
    }

    void failed(Frame packet, FrameProblem problem) {
        departures.failed(packet.cameraId(), packet.source(), packet, problem);
    }

    /** A packet that is no more known than by its position. */
    void failed(VideoId video, long offset, FrameProblem problem) {
        byte[] key = video.cameraId().getBytes(StandardCharsets.UTF_8);
        RawFrame source = RawFrame.position(video.topic(), video.partition(), offset, key);
        departures.failed(video.cameraId(), source, null, problem);
    }

    void letGo(Reason reason, Frame packet) {
        departures.letGo(reason, packet);
    }

    /** By choice, or because its picture is another's second field. */
    void passedOver() {
        jobMetrics.passedOver();
    }

    /** A stream is fed a packet that it had before. */
    void readAgain() {
        jobMetrics.packetReadAgain();
    }

    /** Whether a packet's picture is too old for the model; of any thread. */
    boolean late(Frame packet) {
        return live && gate.ageMillis(packet) > gate.maxAgeMillis();
    }

    /** Whether any packet may be decoded. */
    boolean hasRoom() {
        return live || waiting.isEmpty();
    }

    /**
     * Whether a camera's next packet may be decoded: there is room for its picture.
     *
     * @param decoding whether a packet of any camera is at its decoder
     */
    boolean mayDecode(VideoStream stream, boolean decoding) {
        if (quarantine.careful() && (lanes.working() > 0 || decoding)) {
            return false;
        }
        return live ? waiting.frames(stream.id().cameraId()) < MAX_PICTURES || stream.late() : hasRoom();
    }

    /** Work on a packet begins; false if it is held back. */
    boolean begins(RawFrame packet) {
        if (quarantine.holds(packet)) {
            jobMetrics.frameQuarantined();
            return false;
        }
        quarantine.begin(packet);
        return true;
    }

    /** Work on a packet has ended. */
    void ended(RawFrame packet, long nanos) {
        quarantine.end(packet);
        jobMetrics.packetDecoded(nanos);
    }

    void moved() {
        moved.run();
    }
}
