package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws what stands beside a road: lamps, lights, signs and boards. */
final class Furniture {
    private final Solids solids;
    private final Raster raster;
    private final Light light;

    Furniture(Solids solids) {
        this.solids = solids;
        raster = solids.raster;
        light = solids.light;
    }

    void streetLamp(Vec base, Vec towardsRoad, SplittableRandom look) {
        int rgb = look.nextBoolean() ? 0x8C9094 : 0x5C625E;
        double height = look.nextDouble(5.5, 7.5);
        post(base, 0.24, height, rgb);
        Vec top = base.plus(Solids.UP, height);
        Vec head = top.plus(towardsRoad, 1.5).plus(Solids.UP, 0.25);
        solids.limb(Solids.plain(Cityscapes.POLE, rgb), top, head, 0.09);
        solids.upright(Solids.plain(Cityscapes.POLE, rgb), head, 0.4, 0.2);
        solids.lamp(Cityscapes.POLE, head, 0.34, 0.12, light.night() ? 0xFFE8B0 : 0xE8E8E0, light.night() ? 1.8 : 0);
    }

    void bollard(Vec base) {
        post(base, 0.2, 1.1, 0x6A6E72);
    }

    void trafficLight(Vec base, Vec towardsRoad, double arm, int state) {
        post(base, 0.22, arm > 0 ? 5.7 : 3.9, 0x74787C);
        head(base.plus(Solids.UP, 2.3).plus(raster.pose.ahead, -0.15), state);
        if (arm > 0) {
            Vec top = base.plus(Solids.UP, 5.6);
            Vec end = top.plus(towardsRoad, arm);
            solids.limb(Solids.plain(Cityscapes.POLE, 0x74787C), top, end, 0.1);
            head(end.plus(Solids.UP, -1.15).plus(raster.pose.ahead, -0.15), state);
        }
    }

    void sign(Vec base, SplittableRandom look) {
        post(base, 0.16, 2.6, 0x9A9EA2);
        Vec centre = base.plus(Solids.UP, 2.75).plus(raster.pose.ahead, -0.1);
        double r = 0.62;
        Cityscapes sign = Cityscapes.TRAFFIC_SIGN;
        switch (look.nextInt(7)) {
            case 0 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF2F2F0, 0xD81820, r * 0.68, 2),
                        centre,
                        solids.across,
                        Solids.UP,
                        r,
                        16,
                        0);
            case 1 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF2F2F0, 0xD81820, r * 0.55, 2),
                        centre,
                        solids.across,
                        Solids.UP,
                        r * 1.2,
                        3,
                        Math.PI / 2);
            case 2 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0x1848C0, 0xF0F0F0, r * 0.88, 1),
                        centre,
                        solids.across,
                        Solids.UP,
                        r,
                        16,
                        0);
            case 3 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF8C818, 0xF4F4F0, r * 0.72, 0),
                        centre,
                        solids.across,
                        Solids.UP,
                        r,
                        4,
                        0);
            case 4 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xD01820, 0xF4F4F4, r * 0.9, 1),
                        centre,
                        solids.across,
                        Solids.UP,
                        r,
                        8,
                        Math.PI / 8);
            case 5 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xD81820, 0xF4F4F4, r * 0.95, 1),
                        centre,
                        solids.across,
                        Solids.UP,
                        r,
                        16,
                        0);
            default -> {
                solids.upright(Solids.plain(sign, 0xF0F0F0), centre.plus(Solids.UP, -r), r, r * 2);
                solids.upright(
                        Solids.plain(sign, 0x1850C8),
                        centre.plus(Solids.UP, -r * 0.9).plus(raster.pose.ahead, -0.02),
                        r * 0.9,
                        r * 1.8);
                solids.upright(
                        Solids.plain(sign, 0xF0F0F0),
                        centre.plus(Solids.UP, -r * 0.5).plus(raster.pose.ahead, -0.04),
                        r * 0.25,
                        r);
            }
        }
    }

    /** A wide direction board over the roadside on two posts. */
    void board(Vec base, Vec towardsRoad, SplittableRandom look) {
        int rgb = look.nextBoolean() ? 0x1850C0 : 0xF0C020;
        int ink = rgb == 0x1850C0 ? 0xF0F0F0 : 0x101010;
        Vec other = base.plus(towardsRoad, -1.6);
        post(base, 0.16, 3.6, 0x9A9EA2);
        post(other, 0.16, 3.6, 0x9A9EA2);
        Vec centre = base.plus(towardsRoad, -0.8).plus(Solids.UP, 2.3).plus(raster.pose.ahead, -0.2);
        solids.upright(Solids.plain(Cityscapes.TRAFFIC_SIGN, ink), centre, 1.3, 1.4);
        solids.upright(
                Solids.plain(Cityscapes.TRAFFIC_SIGN, rgb),
                centre.plus(Solids.UP, 0.06).plus(raster.pose.ahead, -0.02),
                1.24,
                1.28);
        for (int i = 0; i < 3; i++) {
            solids.upright(
                    Solids.plain(Cityscapes.TRAFFIC_SIGN, ink),
                    centre.plus(Solids.UP, 0.2 + i * 0.38)
                            .plus(solids.across, -0.2)
                            .plus(raster.pose.ahead, -0.04),
                    0.5 + 0.2 * look.nextDouble(),
                    0.16);
        }
    }

    private void head(Vec bottom, int state) {
        solids.upright(
                Material.of(Cityscapes.TRAFFIC_LIGHT, Texture.PLAIN, 0xD8B020),
                bottom.plus(Solids.UP, -0.05),
                0.42,
                1.5);
        Vec front = bottom.plus(raster.pose.ahead, -0.03);
        solids.upright(Solids.plain(Cityscapes.TRAFFIC_LIGHT, 0x101214), front, 0.34, 1.4);
        int[] lit = {0xFF2A18, 0xFFB818, 0x28F078};
        int[] dim = {0x481410, 0x443810, 0x10401C};
        for (int i = 0; i < 3; i++) {
            Vec centre = front.plus(Solids.UP, 1.15 - i * 0.46).plus(raster.pose.ahead, -0.03);
            raster.disc(
                    Material.of(
                            Cityscapes.TRAFFIC_LIGHT,
                            i == state ? Texture.LIT : Texture.PLAIN,
                            i == state ? lit[i] : dim[i]),
                    centre,
                    solids.across,
                    Solids.UP,
                    0.21,
                    12,
                    0);
        }
        raster.glow(front.plus(Solids.UP, 1.15 - state * 0.46), light.night() ? 0.9 : 0.35, lit[state]);
    }

    private void post(Vec base, double width, double height, int rgb) {
        solids.upright(new Material(Cityscapes.POLE, Texture.ROUND, rgb, 0, width, 0), base, width / 2, height);
        solids.shadow(base.plus(solids.across, -width / 2), base.plus(solids.across, width / 2), height);
    }
}
