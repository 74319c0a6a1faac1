package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.job.CameraLanes.InFlight;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class CameraLanesTest {
    private final CameraLanes lanes = new CameraLanes();

    @Test
    void aCamerasOutcomesLeaveInOrderAndWaitForNoOtherCamera() {
        InFlight first = working("north", 1, 100);
        InFlight second = working("north", 2, 10);
        InFlight other = working("south", 3, 1);
        complete(second);
        complete(other);

        assertThat(lanes.leave("north")).as("behind one that is not done").isNull();
        assertThat(lanes.leave("south")).isSameAs(other);
        assertThat(lanes.leave("south")).isNull();

        complete(first);
        assertThat(lanes.leave("north")).isSameAs(first);
        assertThat(lanes.leave("north")).isSameAs(second);
        assertThat(lanes.isEmpty()).isTrue();
    }

    @Test
    void anOutcomeThatThereIsAlreadyLeavesAfterThoseBeforeIt() {
        InFlight first = working("north", 1, 100);
        InFlight failure = InFlight.of(new FrameOutcome.Failure(
                List.of(), TestFrames.cameraFrame("north", 2), null, FrameProblem.quarantined()));
        lanes.enter("north", failure);
        assertThat(lanes.leave("north")).isNull();

        complete(first);
        assertThat(lanes.leave("north")).isSameAs(first);
        assertThat(lanes.leave("north")).isSameAs(failure);
    }

    @Test
    void countsWhatIsAtTheModelAndTheBytesOnTheirWay() {
        InFlight first = working("north", 1, 100);
        working("north", 2, 10);
        working("south", 3, 1);
        lanes.enter("south", new InFlight(new CompletableFuture<>(), null, null, 1000, false));

        assertThat(lanes.working()).isEqualTo(3);
        assertThat(lanes.working("north")).isEqualTo(2);
        assertThat(lanes.working("west")).isZero();
        assertThat(lanes.bytes()).isEqualTo(1111);
        assertThat(lanes.atModel()).extracting(RawFrame::offset).containsExactlyInAnyOrder(1001L, 1002L, 1003L);

        complete(first);
        assertThat(lanes.leave("north")).isSameAs(first);
        assertThat(lanes.working()).isEqualTo(2);
        assertThat(lanes.working("north")).isEqualTo(1);
        assertThat(lanes.bytes()).isEqualTo(1011);
        assertThat(lanes.isEmpty()).isFalse();
    }

    @Test
    void aCameraIsAloneUntilAnotherSends() {
        assertThat(lanes.isAlone("north", 0)).isTrue();
        lanes.arrived("north", 100);
        lanes.arrived("north", 200);
        assertThat(lanes.isAlone("north", 0)).isTrue();
        assertThat(lanes.isAlone("south", 200)).isFalse();

        lanes.arrived("south", 300);
        lanes.arrived("north", 400);
        assertThat(lanes.isAlone("north", 300)).isFalse();
        assertThat(lanes.isAlone("north", 301))
                .as("the other one's frame is too old")
                .isTrue();
    }

    private InFlight working(String cameraId, int sequence, long bytes) {
        InFlight frame =
                new InFlight(new CompletableFuture<>(), TestFrames.cameraFrame(cameraId, sequence), null, bytes, false);
        lanes.enter(cameraId, frame);
        return frame;
    }

    private static void complete(InFlight frame) {
        frame.outcome().complete(null);
    }
}
