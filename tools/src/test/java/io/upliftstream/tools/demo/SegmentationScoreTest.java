package io.upliftstream.tools.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.upliftstream.tools.picture.Grid;
import org.junit.jupiter.api.Test;

class SegmentationScoreTest {
    @Test
    void countsClassesInTheTruthAndIgnoresVoid() {
        SegmentationScore score = new SegmentationScore();
        byte[] truth = {0, 0, 0, 1, 1, (byte) 255};
        byte[] labels = {0, 0, 1, 1, 2, 0};
        score.add(labels, new Grid(6, 1, 1, 1, 0, 0), truth, 6);
        assertThat(score.pixelAccuracy()).isEqualTo(3 / 5.0);
        assertThat(score.intersectionOverUnion(0)).isEqualTo(2 / 3.0);
        assertThat(score.intersectionOverUnion(1)).isEqualTo(1 / 3.0);
        // Class 2 was found but never there: no class of the mean, only an error of class 1.
        assertThat(score.meanIoU()).isCloseTo((2 / 3.0 + 1 / 3.0) / 2, within(1e-12));
    }

    @Test
    void samplesTheTruthAtTheCentresOfTheGridAndOnlyInsideTheFrame() {
        SegmentationScore score = new SegmentationScore();
        // A letterbox: the outer columns of the grid lie beside the frame of 4 x 2.
        byte[] truth = {1, 1, 2, 2, 3, 3, 4, 4};
        byte[] labels = {9, 1, 2, 9, 9, 3, 4, 9};
        score.add(labels, new Grid(4, 2, 2, 1, -2, 0), truth, 4);
        assertThat(score.pixelAccuracy()).isEqualTo(1);
        assertThat(score.meanIoU()).isEqualTo(1);
        assertThat(score.intersectionOverUnion(9)).isNaN();
    }

    @Test
    void addsUpOverFrames() {
        SegmentationScore score = new SegmentationScore();
        Grid pixel = new Grid(1, 1, 1, 1, 0, 0);
        score.add(new byte[] {5}, pixel, new byte[] {5}, 1);
        score.add(new byte[] {6}, pixel, new byte[] {5}, 1);
        assertThat(score.pixelAccuracy()).isEqualTo(0.5);
    }
}
