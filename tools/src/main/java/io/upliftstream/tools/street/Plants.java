package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws trees and bushes. */
final class Plants {
    private final Solids solids;
    private final Raster raster;
    private final Light light;

    Plants(Solids solids) {
        this.solids = solids;
        raster = solids.raster;
        light = solids.light;
    }

    void tree(Vec base, SplittableRandom random) {
        double height = random.nextDouble(4.5, 8.5);
        double crown = height * random.nextDouble(0.24, 0.36);
        int green = Shader.rgb(random.nextInt(34, 84), random.nextInt(84, 124), random.nextInt(26, 52));
        if (random.nextDouble() < 0.08) {
            green = Shader.rgb(random.nextInt(130, 170), random.nextInt(90, 110), 36);
        }
        double trunk = random.nextDouble(0.24, 0.42);
        solids.upright(
                new Material(Cityscapes.VEGETATION, Texture.ROUND, 0x5A4632, 0, trunk, 0),
                base,
                trunk / 2,
                height - crown);
        Vec centre = base.plus(Solids.UP, height - crown * 0.9);
        boolean conifer = random.nextDouble() < 0.2;
        int blobs = conifer ? 6 : 11;
        for (int i = 0; i < blobs; i++) {
            int shade = random.nextInt(-14, 15);
            int rgb = Shader.rgb(
                    Solids.level((green >> 16) + shade),
                    Solids.level((green >> 8 & 255) + shade),
                    Solids.level((green & 255) + shade / 2));
            var leaves = new Material(Cityscapes.VEGETATION, Texture.LEAVES, rgb, 0, 1, random.nextInt(1000));
            if (conifer) {
                double k = i / 5.0;
                double r = crown * (1.0 - 0.75 * k);
                raster.ball(leaves, base.plus(Solids.UP, height * (0.28 + 0.7 * k)), r, crown * 0.55);
            } else {
                double angle = random.nextDouble(2 * Math.PI);
                double out = i == 0 ? 0 : crown * random.nextDouble(0.35, 0.85);
                double r = crown * (i == 0 ? 0.95 : random.nextDouble(0.4, 0.65));
                raster.ball(
                        leaves,
                        centre.plus(new Vec(
                                Math.cos(angle) * out, crown * random.nextDouble(-0.6, 0.65), Math.sin(angle) * out)),
                        r,
                        r * 0.9);
            }
        }
        if (light.sun().red() >= 0.15f) {
            Vec sun = light.towardsSun();
            double reach = Math.min(centre.y() / sun.y(), 20);
            solids.spot(base.plus(new Vec(-sun.x() * reach, 0, -sun.z() * reach)), crown * 1.1);
        }
        solids.spot(base, 0.5);
    }

    void bush(Vec base, SplittableRandom random) {
        for (int i = 0; i < 3; i++) {
            double r = random.nextDouble(0.5, 0.95);
            int rgb = Shader.rgb(random.nextInt(40, 84), random.nextInt(90, 126), random.nextInt(30, 54));
            raster.ball(
                    new Material(Cityscapes.VEGETATION, Texture.LEAVES, rgb, 0, 1, random.nextInt(1000)),
                    base.plus(new Vec(random.nextDouble(-0.9, 0.9), r * 0.6, random.nextDouble(-0.9, 0.9))),
                    r,
                    r * 0.85);
        }
        solids.spot(base, 1.0);
    }
}
