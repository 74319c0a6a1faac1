package io.upliftstream.job;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What is on its way out, a lane for each camera: the outcomes of a camera leave in the order in which they entered, and
 * wait for none of another camera. For one thread; the outcomes may complete on any.
 */
final class CameraLanes {
    /**
     * A frame, or several that were let go.
     *
     * @param atModel null for what did not go to the model
     * @param servedBy the model that it went to; null likewise
     * @param bytes that it takes until it leaves
     * @param storing whether it waits for a store to take its original, and for nothing else
     */
    record InFlight(
            CompletableFuture<? extends FrameOutcome> outcome,
            @Nullable RawFrame atModel,
            @Nullable ServingModel servedBy,
            long bytes,
            boolean storing) {
        /** An outcome that there is already. */
        static InFlight of(FrameOutcome outcome) {
            long bytes =
                    outcome.messages().stream().mapToLong(OutputMessage::size).sum();
            return new InFlight(CompletableFuture.completedFuture(outcome), null, null, bytes, false);
        }
    }

    /** What of one camera is on its way, the oldest first. */
    private static final class Lane {
        private final Queue<InFlight> queue = new ArrayDeque<>();
        private int working;
    }

    /** Cameras without anything on its way are not in it. */
    private final Map<String, Lane> lanes = new HashMap<>();

    private int working;
    private int storing;
    private long bytes;

    /** The camera of the newest frame, when that came, and when the newest frame of another camera did. */
    private String newest = "";

    private long newestMillis = Long.MIN_VALUE;
    private long otherMillis = Long.MIN_VALUE;

    /** Notes that a camera sent a frame. */
    void arrived(String cameraId, long millis) {
        if (!cameraId.equals(newest)) {
            otherMillis = newestMillis;
            newest = cameraId;
        }
        newestMillis = millis;
    }

    /** Whether no other camera has sent a frame since then. */
    boolean isAlone(String cameraId, long sinceMillis) {
        return (cameraId.equals(newest) ? otherMillis : newestMillis) < sinceMillis;
    }

    void enter(String cameraId, InFlight frame) {
        Lane lane = lanes.computeIfAbsent(cameraId, unused -> new Lane());
        lane.queue.add(frame);
        count(lane, frame, 1);
    }

    /** Takes the camera's oldest out if it is done; null if it is not, or there is none. */
    @Nullable
    InFlight leave(String cameraId) {
        Lane lane = lanes.get(cameraId);
        if (lane == null || !lane.queue.element().outcome().isDone()) {
            return null;
        }
        InFlight oldest = lane.queue.remove();
        count(lane, oldest, -1);
        if (lane.queue.isEmpty()) {
            lanes.remove(cameraId);
        }
        return oldest;
    }

    private void count(Lane lane, InFlight frame, int sign) {
        bytes += sign * frame.bytes();
        storing += frame.storing() ? sign : 0;
        if (frame.atModel() != null) {
            lane.working += sign;
            working += sign;
        }
    }

    /** Frames that went to the model and have not left. */
    int working() {
        return working;
    }

    /** Those of one camera. */
    int working(String cameraId) {
        Lane lane = lanes.get(cameraId);
        return lane == null ? 0 : lane.working;
    }

    /** Frames without a result whose originals are on their way to a store. */
    int storing() {
        return storing;
    }

    long bytes() {
        return bytes;
    }

    boolean isEmpty() {
        return lanes.isEmpty();
    }

    /** The frames that went to the model and have not left. */
    List<RawFrame> atModel() {
        return lanes.values().stream()
                .flatMap(lane -> lane.queue.stream())
                .flatMap(frame -> Stream.ofNullable(frame.atModel()))
                .toList();
    }
}
