package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/**
 * Weather and time of day. Sky colours are display values 0..255, lights are factors around 1.
 *
 * @param zenith sky colour straight up
 * @param horizon sky colour at the horizon, also the colour of haze
 * @param ambient light from everywhere, per channel
 * @param sun light from the sun, per channel
 * @param towardsSun world direction, unit length
 * @param haze share of a surface's own colour lost per metre (extinction, 1/m)
 * @param clouds cover, 0..1
 * @param wet wetness of the ground, 0..1
 * @param night whether lamps are lit
 * @param falling what falls from the sky
 */
record Light(
        Colour zenith,
        Colour horizon,
        Colour ambient,
        Colour sun,
        Vec towardsSun,
        double haze,
        double clouds,
        double wet,
        boolean night,
        Falling falling) {

    enum Falling {
        NOTHING,
        RAIN,
        SNOW
    }

    /** Three channels of a colour or of a light. */
    record Colour(float red, float green, float blue) {
        private Colour exposed(double exposure, double warmth) {
            return new Colour(
                    red * (float) (exposure * (1 + warmth)),
                    green * (float) exposure,
                    blue * (float) (exposure * (1 - warmth)));
        }
    }

    /** Draws a weather and a time of day. */
    static Light draw(Look look, SplittableRandom random) {
        return look == Look.WINTER ? winter(random) : varied(random);
    }

    /** A low sun behind bright, pinkish snow clouds. */
    private static Light winter(SplittableRandom random) {
        double azimuth = random.nextDouble(2 * Math.PI);
        double height = random.nextDouble(0.15, 0.35);
        double exposure = random.nextDouble(0.85, 1.1);
        return new Light(
                new Colour(186, 180, 196).exposed(exposure, 0),
                new Colour(226, 216, 218).exposed(exposure, 0),
                new Colour(0.84f, 0.84f, 0.92f).exposed(exposure, 0),
                new Colour(0.12f, 0.1f, 0.08f).exposed(exposure, 0),
                new Vec(Math.cos(azimuth) * Math.cos(height), Math.sin(height), Math.sin(azimuth) * Math.cos(height)),
                random.nextDouble(0.004, 0.012),
                1,
                0,
                false,
                Falling.SNOW);
    }

    private static Light varied(SplittableRandom random) {
        double hour = random.nextDouble();
        double sky = random.nextDouble();
        boolean night = hour > 0.86;
        boolean dusk = !night && hour > 0.68;
        boolean rain = sky > 0.84;
        boolean fog = !rain && sky > 0.72;
        boolean overcast = !rain && !fog && sky > 0.48;
        boolean clear = !rain && !fog && !overcast;

        double azimuth = random.nextDouble(2 * Math.PI);
        double height = dusk ? random.nextDouble(0.15, 0.3) : random.nextDouble(0.45, 1.1);
        Vec towardsSun =
                new Vec(Math.cos(azimuth) * Math.cos(height), Math.sin(height), Math.sin(azimuth) * Math.cos(height));

        Colour zenith;
        Colour horizon;
        Colour ambient;
        Colour sun;
        float direct = clear ? 1 : overcast ? 0.15f : 0.08f;
        if (night) {
            zenith = new Colour(9, 11, 24);
            horizon = new Colour(40, 36, 48);
            ambient = new Colour(0.27f, 0.27f, 0.33f);
            sun = new Colour(0, 0, 0);
        } else if (dusk) {
            zenith = clear ? new Colour(72, 84, 140) : new Colour(104, 104, 124);
            horizon = clear ? new Colour(244, 176, 122) : new Colour(172, 154, 150);
            ambient = new Colour(0.52f, 0.47f, 0.53f);
            sun = new Colour(0.75f * direct, 0.48f * direct, 0.25f * direct);
        } else {
            zenith = clear ? new Colour(84, 134, 212) : new Colour(168, 175, 185);
            horizon = clear ? new Colour(194, 214, 236) : new Colour(206, 210, 214);
            float a = clear ? 0.62f : 0.86f;
            ambient = new Colour(a, a, a * 1.04f);
            sun = new Colour(0.68f * direct, 0.64f * direct, 0.54f * direct);
        }
        double exposure = random.nextDouble(0.85, 1.15);
        double warmth = random.nextDouble(-0.05, 0.05);
        double haze = fog ? random.nextDouble(0.012, 0.028) : rain ? 0.007 : random.nextDouble(0.0015, 0.004);
        double clouds = clear ? random.nextDouble(0, 0.5) : 1;
        return new Light(
                zenith.exposed(exposure, warmth),
                horizon.exposed(exposure, warmth),
                ambient.exposed(exposure, warmth),
                sun.exposed(exposure, warmth),
                towardsSun,
                haze,
                clouds,
                rain ? random.nextDouble(0.5, 1) : 0,
                night,
                rain ? Falling.RAIN : Falling.NOTHING);
    }
}
