package io.upliftstream.tools.view;

import static org.assertj.core.api.Assertions.assertThat;

import io.upliftstream.schemas.CaptureClock;
import io.upliftstream.schemas.Mask;
import io.upliftstream.schemas.MaskEncoding;
import io.upliftstream.schemas.RecordHeader;
import io.upliftstream.schemas.SegmentationRecord;
import io.upliftstream.schemas.SourcePosition;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class BoardTest {
    private final Board board = new Board(1000, 0);

    private void show(String camera, long offset, int bytes) {
        RecordHeader header = RecordHeader.newBuilder()
                .setCameraId(camera)
                .setSequence(offset)
                .setCaptureTimeMicros(0)
                .setCaptureClock(CaptureClock.CAMERA)
                .setSource(new SourcePosition("camera-frames", 0, offset, 0L))
                .build();
        SegmentationRecord record = SegmentationRecord.newBuilder()
                .setHeader(header)
                .setName("segmentation")
                .setClasses(1)
                .setMask(new Mask(MaskEncoding.RLE, 1, 1, ByteBuffer.allocate(0), null))
                .build();
        board.show(header, List.of(record), bytes);
    }

    @Test
    void keepsNoMoreThanItsBytes() {
        for (int offset = 0; offset < 6; offset++) {
            show("north", offset, 250);
        }
        assertThat(board.find(0, 1)).isEmpty();
        assertThat(board.find(0, 2)).isPresent();
        show("north", 6, 1001);
        assertThat(board.find(0, 5)).isEmpty();
        assertThat(board.find(0, 6)).isPresent();
    }

    @Test
    void findsWhatIsTheLatestOfItsCameraHoweverManyCameTo() {
        for (int camera = 0; camera < Board.MAX_CAMERAS; camera++) {
            show("camera-" + camera, camera, 1);
        }
        show("camera-1", 1000, 1);
        assertThat(board.find(0, 0)).isPresent();
        assertThat(board.find(0, 1)).isEmpty();
    }

    @Test
    void forgetsTheCameraThatWasQuietLongest() throws Exception {
        for (int camera = 0; camera < Board.MAX_CAMERAS; camera++) {
            show("camera-" + camera, camera, 1);
        }
        show("camera-0", 1000, 1);
        show("one more", 1001, 1);
        assertThat(board.after(0, Set.of()))
                .hasSize(Board.MAX_CAMERAS)
                .extracting(Moment::camera)
                .contains("camera-0", "one more")
                .doesNotContain("camera-1");
    }

    /** A camera that takes much makes room itself, whatever the names. */
    @Test
    void keepsNoMoreThanItsBytesOfManyCameras() throws Exception {
        show("small", 0, 50);
        for (int camera = 0; camera < 50; camera++) {
            show("large-" + camera, 1 + camera, 400);
        }
        assertThat(board.after(0, Set.of()))
                .hasSizeLessThanOrEqualTo(3)
                .extracting(Moment::camera)
                .contains("small", "large-49");
    }

    @Test
    void givesOnlyTheCamerasThatAreAskedFor() throws Exception {
        show("north", 0, 1);
        show("south", 1, 1);
        assertThat(board.after(0, Set.of("south", "west")))
                .extracting(Moment::camera)
                .containsExactly("south");
        show("north", 2, 1);
        assertThat(board.after(2, Set.of("south")))
                .as("what is new is of another camera")
                .isEmpty();
    }
}
