package io.upliftstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.CaptureClock;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;

class FairQueueTest {
    private final FairQueue queue = new FairQueue();

    @Test
    void ofCamerasWithTheSameTurnTheOneThatHadNoneForLongestIsNext() {
        add("north", 2);
        add("south", 2);
        add("east", 2);
        assertThat(take(6)).containsExactly("north", "south", "east", "north", "south", "east");
        assertThat(queue.isEmpty()).isTrue();
    }

    @Test
    void aCameraThatIsNotFreeKeepsItsTurn() {
        add("north", 2);
        add("south", 2);
        assertThat(take(2, camera -> !camera.equals("north"))).containsExactly("south", "south");
        assertThat(queue.next(camera -> !camera.equals("north"), young -> true, old -> {}))
                .isEmpty();
        assertThat(take(2)).containsExactly("north", "north");
    }

    @Test
    void aCameraThatIsNewDoesNotComeBeforeOthersBecauseOneWasHeldBack() {
        add("held", 1);
        add("south", 20);
        take(10, camera -> !camera.equals("held"));
        assertThat(take(1)).containsExactly("held");
        add("new", 10);
        assertThat(take(6)).containsExactly("new", "south", "new", "south", "new", "south");
    }

    @Test
    void camerasWithoutFramesAreForgottenForOthers() {
        for (int i = 0; i < 3 * FairQueue.MAX_CAMERAS; i++) {
            add("gone-" + i, 1);
            assertThat(take(1)).containsExactly("gone-" + i);
        }
        for (int i = 0; i < FairQueue.MAX_CAMERAS; i++) {
            add("camera-" + i, 1);
        }
        assertThat(queue.add(frame("one-more"))).isFalse();
        assertThat(queue.size()).isEqualTo(FairQueue.MAX_CAMERAS);
    }

    private void add(String cameraId, int frames) {
        for (int i = 0; i < frames; i++) {
            assertThat(queue.add(frame(cameraId))).isTrue();
        }
    }

    private static Frame frame(String cameraId) {
        RawFrame source = TestFrames.raw(0, cameraId, TestFrames.jpeg());
        return new Frame(cameraId, 0, 0, CaptureClock.CAMERA, TestFrames.jpeg(), TraceContext.NONE, source);
    }

    private List<String> take(int frames) {
        return take(frames, camera -> true);
    }

    /** The cameras whose turns come. */
    private List<String> take(int frames, Predicate<String> free) {
        List<String> cameras = new ArrayList<>();
        for (int i = 0; i < frames; i++) {
            cameras.add(queue.next(free, young -> true, old -> {}).orElseThrow().cameraId());
        }
        return cameras;
    }
}
