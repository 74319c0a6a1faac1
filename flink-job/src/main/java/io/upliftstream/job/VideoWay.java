package io.upliftstream.job;

import io.upliftstream.job.DropRuns.Reason;
import io.upliftstream.job.VideoState.VideoId;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.util.function.ThrowingRunnable;

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
    private final ThrowingRunnable<IOException> moved;
    private int working;

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
            ThrowingRunnable<IOException> moved) {
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

    /** A frame, whole or decoded of its packet, waits for its turn: the next in the order in which they are shown. */
    void shown(Frame frame) {
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

    /** Whether a packet's picture is too old for the model; of any thread. */
    boolean late(Frame packet) {
        return live && gate.ageMillis(packet) > gate.maxAgeMillis();
    }

    /** Whether any packet may be decoded. */
    boolean hasRoom() {
        return live || waiting.isEmpty();
    }

    /** Whether a camera's next packet may be decoded: there is room for its picture. */
    boolean mayDecode(VideoStream stream) {
        if (quarantine.careful() && (lanes.working() > 0 || working > 0)) {
            return false;
        }
        return live ? waiting.frames(stream.id().cameraId()) < MAX_PICTURES || stream.late() : hasRoom();
    }

    /** Work on a packet begins; false if it is held back. */
    boolean begins(RawFrame packet) throws IOException {
        if (quarantine.holds(packet)) {
            jobMetrics.frameQuarantined();
            return false;
        }
        quarantine.begin(packet);
        working++;
        return true;
    }

    /** Work on a packet has ended. */
    void ended(RawFrame packet, long nanos) throws IOException {
        working--;
        quarantine.end(packet);
        jobMetrics.packetDecoded(nanos);
    }

    void moved() throws IOException {
        moved.run();
    }
}
