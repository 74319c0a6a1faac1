package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws who walks, stands or rides. */
final class People {
    private static final int[] CLOTHES = {
        0xC8343A, 0x2D56B8, 0xE0C040, 0x2E7D54, 0x8A3FA0, 0xE8E8E8, 0x22242C, 0xE07830, 0x3FA0B0, 0xD86A9A
    };
    private static final int[] TROUSERS = {0x26324C, 0x2A2A2E, 0x5A5248, 0x3C5070, 0x7A6A50};
    private static final int[] SKIN = {0xE8BC98, 0xC89070, 0x8C5C40, 0xF0C8A8};

    private final Solids solids;
    private final Raster raster;
    private final Light light;

    People(Solids solids) {
        this.solids = solids;
        raster = solids.raster;
        light = solids.light;
    }

    void rider(Place p, double time, boolean motor, SplittableRandom random) {
        int[] vests = {0xC8F030, 0xFF7A18, 0xD02838, 0x2050C0, 0x282830};
        var shirt = Solids.plain(Cityscapes.RIDER, Solids.pick(vests, random));
        var trousers = Solids.plain(Cityscapes.RIDER, Solids.pick(TROUSERS, random));
        var helmet = Solids.plain(Cityscapes.RIDER, Solids.pick(Vehicles.COLOURS, random));
        Vec hip = p.point(-0.25, 0, motor ? 0.92 : 1.02);
        Vec neck = p.point(0.02, 0, motor ? 1.45 : 1.55);
        double phase = time * 7 + random.nextDouble(6.28);
        for (int side = -1; side <= 1; side += 2) {
            double lift = motor ? 0 : 0.16 * Math.sin(phase + side * Math.PI / 2);
            Vec knee = p.point(0.15, side * 0.17, (motor ? 0.75 : 0.72) + lift);
            Vec foot = p.point(motor ? -0.1 : 0.02, side * 0.17, 0.3 + lift);
            solids.limb(trousers, hip.plus(p.right(), side * 0.1), knee, 0.1);
            solids.limb(trousers, knee, foot, 0.08);
            solids.limb(
                    shirt,
                    neck.plus(p.right(), side * 0.2).plus(Solids.UP, -0.08),
                    p.point(0.45, side * 0.3, 1.1),
                    0.07);
        }
        Vec half = solids.across;
        raster.polygon(
                shirt,
                hip.plus(half, -0.19).plus(Solids.UP, -0.08),
                hip.plus(half, 0.19).plus(Solids.UP, -0.08),
                neck.plus(half, 0.25),
                neck.plus(half, -0.25));
        raster.ball(Solids.plain(Cityscapes.RIDER, Solids.pick(SKIN, random)), neck.plus(Solids.UP, 0.15), 0.12, 0.15);
        raster.ball(helmet, neck.plus(Solids.UP, 0.24), 0.15, 0.14);
    }

    void person(Vec at, double time, boolean walking, SplittableRandom random) {
        double tall = random.nextDouble() < 0.12 ? random.nextDouble(1.15, 1.4) : random.nextDouble(1.6, 1.9);
        double k = tall / 1.75;
        var shirt = Solids.plain(Cityscapes.PERSON, Solids.pick(CLOTHES, random));
        var trousers = Solids.plain(Cityscapes.PERSON, Solids.pick(TROUSERS, random));
        var skin = Solids.plain(Cityscapes.PERSON, Solids.pick(SKIN, random));
        int[] hairs = {0x2A2018, 0x5A3A20, 0x181818, 0xB89058, 0x989490};
        var hair = Solids.plain(Cityscapes.PERSON, Solids.pick(hairs, random));
        double phase = time * 6.5 + random.nextDouble(6.28);
        double swing = walking ? Math.sin(phase) : 0;
        boolean coat = random.nextDouble() < 0.3;
        Vec hip = at.plus(Solids.UP, 0.9 * k);
        for (int side = -1; side <= 1; side += 2) {
            Vec foot = at.plus(solids.across, side * (0.1 + 0.13 * swing) * k).plus(Solids.UP, 0.02);
            solids.limb(trousers, foot, hip.plus(solids.across, side * 0.08 * k), 0.105 * k);
            solids.upright(
                    Solids.plain(Cityscapes.PERSON, 0x1C1814),
                    at.plus(solids.across, side * (0.1 + 0.13 * swing) * k).plus(raster.pose.ahead, -0.01),
                    0.11 * k,
                    0.09 * k);
            Vec shoulder = at.plus(solids.across, side * 0.25 * k).plus(Solids.UP, 1.4 * k);
            Vec hand = at.plus(solids.across, side * (0.3 - 0.12 * swing) * k).plus(Solids.UP, 0.82 * k);
            solids.limb(shirt, shoulder, hand, 0.07 * k);
            raster.ball(skin, hand, 0.06 * k, 0.07 * k);
        }
        double hem = coat ? 0.55 : 0.85;
        raster.polygon(
                shirt,
                at.plus(solids.across, -0.21 * k).plus(Solids.UP, hem * k),
                at.plus(solids.across, 0.21 * k).plus(Solids.UP, hem * k),
                at.plus(solids.across, 0.27 * k).plus(Solids.UP, 1.45 * k),
                at.plus(solids.across, -0.27 * k).plus(Solids.UP, 1.45 * k));
        raster.ball(skin, at.plus(Solids.UP, 1.6 * k), 0.12 * k, 0.16 * k);
        raster.ball(hair, at.plus(Solids.UP, 1.68 * k), 0.13 * k, 0.11 * k);
        if (light.falling() == Light.Falling.RAIN && random.nextDouble() < 0.5) {
            var cover = Solids.plain(Cityscapes.PERSON, Solids.pick(CLOTHES, random));
            raster.polygon(
                    cover,
                    at.plus(solids.across, -0.55).plus(Solids.UP, 1.8 * k),
                    at.plus(solids.across, 0.55).plus(Solids.UP, 1.8 * k),
                    at.plus(solids.across, 0.28).plus(Solids.UP, 2.12 * k),
                    at.plus(solids.across, -0.28).plus(Solids.UP, 2.12 * k));
        }
        solids.spot(at, 0.32);
        solids.shadow(at.plus(solids.across, -0.2), at.plus(solids.across, 0.2), tall);
    }
}
