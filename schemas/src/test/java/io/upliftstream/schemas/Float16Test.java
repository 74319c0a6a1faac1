package io.upliftstream.schemas;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class Float16Test {
    @Test
    void everyHalfSurvivesTheWayToFloatAndBack() {
        for (int half = 0; half < 1 << 16; half++) {
            assertThat(Float16.fromFloat(Float16.toFloat((short) half)))
                    .as("half %04x", half)
                    .isEqualTo((short) half);
        }
    }

    /** The definition of binary16, in doubles. */
    @Test
    void everyFiniteHalfHasItsValue() {
        for (int half = 0; half < 1 << 16; half++) {
            int exponent = (half >> 10) & 0x1F;
            int fraction = half & 0x3FF;
            if (exponent == 0x1F) {
                continue;
            }
            double magnitude =
                    exponent == 0 ? Math.scalb((double) fraction, -24) : Math.scalb(1024.0 + fraction, exponent - 25);
            assertThat(Float16.toFloat((short) half)).as("half %04x", half).isEqualTo((float)
                    ((half & 0x8000) == 0 ? magnitude : -magnitude));
        }
    }

    /** Between two neighbouring halves: below the middle goes down, above it up, the middle to the even one. */
    @Test
    void roundsToTheNearestAndTiesToEven() {
        for (int half = 0; half < 0x7BFF; half++) {
            float low = Float16.toFloat((short) half);
            float high = Float16.toFloat((short) (half + 1));
            float middle = (low + high) / 2;
            assertThat(Float16.fromFloat(Math.nextDown(middle))).isEqualTo((short) half);
            assertThat(Float16.fromFloat(Math.nextUp(middle))).isEqualTo((short) (half + 1));
            assertThat(Float16.fromFloat(middle)).isEqualTo((short) (half + (half & 1)));
            assertThat(Float16.fromFloat(-middle)).isEqualTo((short) (0x8000 | (half + (half & 1))));
        }
    }

    @ParameterizedTest
    @CsvSource({"65519.99, 7bff", "65520, 7c00", "3.4e38, 7c00", "-65520, fc00", "1e-8, 0", "-1e-8, 8000", "-0.0, 8000"
    })
    void overflowsToInfinityAndUnderflowsToZero(float value, String half) {
        assertThat(Float16.fromFloat(value)).isEqualTo((short) Integer.parseInt(half, 16));
    }

    @Test
    void anyNaNStaysOne() {
        Random random = new Random(1);
        for (int i = 0; i < 1000; i++) {
            float nan = Float.intBitsToFloat(0x7F800001 + random.nextInt(0x7FFFFE));
            assertThat(Float16.toFloat(Float16.fromFloat(nan))).isNaN();
        }
    }
}
