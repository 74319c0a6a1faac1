package io.upliftstream.tools.street;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StreetCameraTest {
    private static final int WIDTH = 320;
    private static final int HEIGHT = 192;

    private static StreetFrame frame(long seed, int index) {
        return new StreetCamera(seed, WIDTH, HEIGHT, 10).frame(index);
    }

    private static int[] pixels(StreetFrame frame) {
        BufferedImage image = frame.image();
        return image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
    }

    @Test
    void equalArgumentsGiveEqualFramesInAnyOrder() {
        var camera = new StreetCamera(20_001, WIDTH, HEIGHT, 10);
        StreetFrame late = camera.frame(50);
        StreetFrame early = camera.frame(3);

        assertThat(pixels(early)).isEqualTo(pixels(frame(20_001, 3)));
        assertThat(early.labels()).isEqualTo(frame(20_001, 3).labels());
        assertThat(early.depthMetres()).isEqualTo(frame(20_001, 3).depthMetres());
        assertThat(pixels(late)).isEqualTo(pixels(frame(20_001, 50)));
    }

    @Test
    void theRateOnlySaysWhenFramesAreTaken() {
        StreetFrame slow = new StreetCamera(20_002, WIDTH, HEIGHT, 5).frame(10);
        StreetFrame fast = new StreetCamera(20_002, WIDTH, HEIGHT, 20).frame(40);

        assertThat(slow.labels()).isEqualTo(fast.labels());
        assertThat(slow.depthMetres()).isEqualTo(fast.depthMetres());
    }

    @Test
    void everySeedIsAnotherStreetAndEveryFrameAnotherMoment() {
        assertThat(difference(frame(20_003, 0), frame(20_004, 0))).isGreaterThan(0.2);
        assertThat(difference(frame(20_003, 0), frame(20_003, 20))).isGreaterThan(0.1);
        assertThat(difference(frame(20_003, 0), frame(20_003, 1))).isBetween(0.001, 0.2);
    }

    @ParameterizedTest
    @ValueSource(longs = {20_000, 20_007})
    void winterChangesColoursButNotWhatIsThere(long seed) {
        StreetFrame winter = new StreetCamera(seed, WIDTH, HEIGHT, 10, Look.WINTER).frame(5);
        StreetFrame varied = frame(seed, 5);

        assertThat(winter.labels()).isEqualTo(varied.labels());
        assertThat(winter.depthMetres()).isEqualTo(varied.depthMetres());
        assertThat(brightness(winter, Cityscapes.TERRAIN)).isGreaterThan(brightness(varied, Cityscapes.TERRAIN) + 30);
    }

    private static double brightness(StreetFrame frame, Cityscapes label) {
        int[] pixels = pixels(frame);
        return java.util.stream.IntStream.range(0, pixels.length)
                .filter(i -> frame.labels()[i] == label.trainId())
                .map(i -> pixels[i] >> 8 & 255)
                .average()
                .orElseThrow();
    }

    /** The share of pixels whose labels differ. */
    private static double difference(StreetFrame a, StreetFrame b) {
        int differing = 0;
        for (int i = 0; i < a.labels().length; i++) {
            differing += a.labels()[i] != b.labels()[i] ? 1 : 0;
        }
        return (double) differing / a.labels().length;
    }

    @ParameterizedTest
    @ValueSource(longs = {20_000, 20_007, 20_011})
    void onlyTheSkyHasNoDepthAndEveryPixelHasAClass(long seed) {
        StreetFrame frame = frame(seed, 5);

        assertThat(frame.labels()).hasSize(WIDTH * HEIGHT);
        assertThat(frame.depthMetres()).hasSize(WIDTH * HEIGHT);
        int wrong = 0;
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            boolean sky = frame.labels()[i] == Cityscapes.SKY.trainId();
            float depth = frame.depthMetres()[i];
            boolean known = frame.labels()[i] >= 0 && frame.labels()[i] < Cityscapes.values().length;
            wrong += known && (sky ? depth == 0 : depth > 0 && depth < 1000) ? 0 : 1;
        }
        assertThat(wrong).isZero();
    }

    /** Without roll the inverse depth of flat ground is linear in the row and does not depend on the column. */
    @ParameterizedTest
    @ValueSource(longs = {20_000, 20_007, 20_011})
    void theGroundIsOnePlane(long seed) {
        StreetFrame frame = frame(seed, 5);
        int near = -1;
        int far = -1;
        for (int i = WIDTH * HEIGHT - 1; i >= 0; i--) {
            if (ground(frame, i) && near < 0) {
                near = i;
            }
            if (ground(frame, i) && frame.depthMetres()[i] < 30) {
                far = i;
            }
        }
        double slope =
                (1 / frame.depthMetres()[near] - 1 / frame.depthMetres()[far]) / (double) (near / WIDTH - far / WIDTH);
        double worst = 0;
        int seen = 0;
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            if (ground(frame, i) && frame.depthMetres()[i] < 60) {
                double expected = 1 / frame.depthMetres()[near] + slope * (i / WIDTH - near / WIDTH);
                worst = Math.max(worst, Math.abs(1 / frame.depthMetres()[i] - expected));
                seen++;
            }
        }
        assertThat(worst).isLessThan(1e-5);
        assertThat(seen).isGreaterThan(WIDTH * HEIGHT / 10);
    }

    private static boolean ground(StreetFrame frame, int i) {
        int label = frame.labels()[i];
        return label == Cityscapes.ROAD.trainId()
                || label == Cityscapes.SIDEWALK.trainId()
                || label == Cityscapes.TERRAIN.trainId();
    }

    @ParameterizedTest
    @ValueSource(longs = {20_000, 20_007, 20_011})
    void labelsLieOnTheImagesEdges(long seed) {
        StreetFrame frame = frame(seed, 5);

        double there = contrastAcrossLabels(frame, 0);
        assertThat(there).isGreaterThan(1.5 * contrastAcrossLabels(frame, 3));
        assertThat(there).isGreaterThan(1.5 * contrastAcrossLabels(frame, -3));
    }

    /** The mean grey step between horizontal neighbours of different labels, labels moved right by {@code shift}. */
    private static double contrastAcrossLabels(StreetFrame frame, int shift) {
        int[] rgb = pixels(frame);
        double sum = 0;
        int count = 0;
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 4; x < WIDTH - 5; x++) {
                int i = y * WIDTH + x;
                if (frame.labels()[i - shift] != frame.labels()[i - shift + 1]) {
                    sum += Math.abs((rgb[i] >> 8 & 255) - (rgb[i + 1] >> 8 & 255));
                    count++;
                }
            }
        }
        return sum / count;
    }

    @Test
    void theSameStreetAtTwiceTheSizeHasTheSameLabelsAndDepth() {
        StreetFrame small = frame(20_005, 7);
        StreetFrame large = new StreetCamera(20_005, 2 * WIDTH, 2 * HEIGHT, 10).frame(7);

        int equal = 0;
        int close = 0;
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                int i = y * WIDTH + x;
                int j = 2 * y * 2 * WIDTH + 2 * x;
                equal += small.labels()[i] == large.labels()[j] ? 1 : 0;
                float d = small.depthMetres()[i];
                close += Math.abs(d - large.depthMetres()[j]) <= 0.05 * d ? 1 : 0;
            }
        }
        assertThat((double) equal / small.labels().length).isGreaterThan(0.95);
        assertThat((double) close / small.labels().length).isGreaterThan(0.9);
    }

    /** What the demonstration's mean IoU rests on: rare classes are not rare. */
    @Test
    void everyClassIsPresentInMostStreets() {
        Map<Cityscapes, Integer> streets = new EnumMap<>(Cityscapes.class);
        long[] pixels = new long[Cityscapes.values().length];
        int seeds = 16;
        for (int seed = 20_000; seed < 20_000 + seeds; seed++) {
            long[] before = pixels.clone();
            for (int index = 0; index < 100; index += 33) {
                for (byte label : frame(seed, index).labels()) {
                    pixels[label]++;
                }
            }
            for (Cityscapes c : Cityscapes.values()) {
                streets.merge(c, pixels[c.trainId()] > before[c.trainId()] ? 1 : 0, Integer::sum);
            }
        }
        double all = Arrays.stream(pixels).sum();
        for (Cityscapes c : Cityscapes.values()) {
            assertThat(pixels[c.trainId()] / all).as(c.label()).isGreaterThan(0.002);
            if (c != Cityscapes.TRAIN) {
                assertThat(streets.get(c)).as(c.label()).isGreaterThan(seeds / 2);
            }
        }
        assertThat(streets.get(Cityscapes.TRAIN)).isGreaterThanOrEqualTo(seeds / 5);
    }

    @Test
    void refusesWhatCannotBeDrawn() {
        assertThatThrownBy(() -> new StreetCamera(1, 8, 192, 10))
                .hasMessage("street camera size: 8x192 (expected: at least 16x16)");
        assertThatThrownBy(() -> new StreetCamera(1, 320, 192, 0)).hasMessage("frames per second: 0.0 (expected: > 0)");
        assertThatThrownBy(() -> frame(1, -1)).hasMessage("frame index: -1 (expected: >= 0)");
    }
}
