package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws what drives, each around its own place and heading. */
final class Vehicles {
    static final int[] COLOURS = {
        0xB02A2A, 0x2C4F9E, 0xDADADA, 0x1E1E22, 0x8C9298, 0x2F6B4A, 0xC9B458, 0x6E2438, 0x4FA3C7, 0xE07B28
    };

    private final Solids solids;
    private final Raster raster;
    private final Light light;

    Vehicles(Solids solids) {
        this.solids = solids;
        raster = solids.raster;
        light = solids.light;
    }

    void car(Place p, SplittableRandom random) {
        int rgb = Solids.pick(COLOURS, random);
        boolean van = random.nextDouble() < 0.2;
        double half = random.nextDouble(1.95, 2.3);
        double wide = random.nextDouble(0.86, 0.95);
        double roof = van ? 1.9 : random.nextDouble(1.42, 1.62);
        double belt = van ? 1.05 : 0.9;
        double tail = random.nextBoolean() || van ? -half + 0.1 : -half + 0.65;
        var body = Solids.plain(Cityscapes.CAR, rgb);
        var dark = Solids.plain(Cityscapes.CAR, 0x1A1A1C);
        var glass = new Material(Cityscapes.CAR, Texture.GLASS, 0, 0, roof - belt, 0);
        solids.prism(
                p,
                new double[] {
                    -half,
                    0.28,
                    half,
                    0.28,
                    half,
                    belt - 0.2,
                    half - 0.3,
                    belt - 0.05,
                    half - 1.0,
                    belt,
                    -half + 0.05,
                    belt
                },
                -wide,
                wide,
                body,
                dark,
                body,
                body,
                body,
                body,
                body);
        double hood = half - (van ? 0.6 : 1.05);
        double[] cabin = {tail, belt, hood, belt, hood - 0.7, roof, tail + 0.35, roof};
        solids.prism(p, cabin, -wide + 0.08, wide - 0.08, glass, body, glass, body, glass);
        // Pillars: thin upright boxes keep the glass from reading as one dark block.
        double middle = (tail + hood) / 2 - 0.1;
        solids.box(p, middle - 0.06, middle + 0.06, -wide + 0.06, wide - 0.06, belt, roof - 0.02, body);
        solids.box(p, -half - 0.03, -half, -wide, wide, 0.3, 0.45, dark);
        solids.box(p, half, half + 0.03, -wide, wide, 0.3, 0.5, dark);
        quad(p, Cityscapes.CAR, -half - 0.04, 0, 0.28, 0.62, 0.07, light.night() ? 0x888880 : 0xF0F0E0);
        wheels(p, Cityscapes.CAR, wide, 0.33, -half + 0.75, half - 0.8);
        lights(p, Cityscapes.CAR, half, -half, wide, belt - 0.12);
        solids.boxShadow(p, half, wide, roof * 0.8);
    }

    void truck(Place p, SplittableRandom random) {
        int[] cabs = {0xD03030, 0x2848A0, 0xE8E8E8, 0xE8A020, 0x308050};
        int[] cargo = {0xE8E6DE, 0xD8DCE2, 0xB8C4D0, 0xC8A878, 0x8898B0};
        double half = random.nextDouble(3.4, 4.8);
        double wide = 1.2;
        double top = random.nextDouble(3.1, 3.7);
        int trim = Solids.pick(cabs, random);
        var box = new Material(Cityscapes.TRUCK, Texture.CARGO, Solids.pick(cargo, random), trim, top - 0.9, 0);
        var cab = Solids.plain(Cityscapes.TRUCK, trim);
        var glass = new Material(Cityscapes.TRUCK, Texture.GLASS, 0, 0, 1, 0);
        var dark = Solids.plain(Cityscapes.TRUCK, 0x222226);
        double split = half - 1.9;
        solids.box(p, -half, split - 0.15, -wide, wide, 0.95, top, box);
        solids.box(p, -half + 0.1, half - 0.2, -wide + 0.25, wide - 0.25, 0.5, 0.95, dark);
        solids.box(p, -half, -half + 0.1, -wide, wide, 0.45, 0.68, Solids.plain(Cityscapes.TRUCK, 0xD8D0C0));
        double[] profile = {split, 0.5, half, 0.5, half, 1.5, half - 0.25, 2.6, split, 2.6};
        solids.prism(p, profile, -wide + 0.06, wide - 0.06, cab, dark, cab, glass, cab, cab);
        double window = half - 1.1;
        for (int side = -1; side <= 1; side += 2) {
            double c = side * (wide - 0.04);
            raster.polygon(
                    glass,
                    p.point(window - 0.2, c, 1.5),
                    p.point(window + 0.75, c, 1.5),
                    p.point(window + 0.6, c, 2.3),
                    p.point(window - 0.2, c, 2.3));
        }
        wheels(p, Cityscapes.TRUCK, wide, 0.5, -half + 0.9, -half + 1.95, half - 0.9);
        lights(p, Cityscapes.TRUCK, half, -half, wide, 0.82);
        solids.boxShadow(p, half, wide, top);
    }

    void bus(Place p, SplittableRandom random) {
        int[] colours = {0xE8C020, 0xD02828, 0xF08020};
        int rgb = Solids.pick(colours, random);
        double half = random.nextDouble(4.8, 6);
        coach(p, Cityscapes.BUS, rgb, random.nextBoolean() ? rgb : 0xE8E0D0, half, 1.27, 3.15);
        wheels(p, Cityscapes.BUS, 1.27, 0.5, -half + 2.2, half - 2.4);
        lights(p, Cityscapes.BUS, half, -half, 1.27, 0.9);
        double sign = half + 0.04;
        quad(p, Cityscapes.BUS, sign, 0, 0.8, 2.85, 0.17, 0x181410);
        quad(p, Cityscapes.BUS, sign + 0.02, 0, 0.5, 2.85, 0.09, 0xFFB020);
        quad(p, Cityscapes.BUS, -sign, 0, 0.4, 2.85, 0.15, 0xFFB020);
    }

    void tram(Place p, SplittableRandom random) {
        double half = random.nextDouble(11, 15);
        int trim = random.nextBoolean() ? 0x108890 : 0x187868;
        coach(p, Cityscapes.TRAIN, 0xE4EEEA, trim, half, 1.3, 3.5);
        for (int side = -1; side <= 1; side += 2) {
            solids.box(
                    p,
                    -half,
                    half,
                    side * 1.31 - 0.03,
                    side * 1.31 + 0.03,
                    0.05,
                    0.4,
                    Solids.plain(Cityscapes.TRAIN, 0x30343A));
        }
        var pole = Solids.plain(Cityscapes.TRAIN, 0x303030);
        solids.box(p, -1, 1, -0.5, 0.5, 3.5, 3.75, pole);
        solids.limb(pole, p.point(-0.8, 0, 3.7), p.point(0.8, 0, 4.9), 0.08);
        lights(p, Cityscapes.TRAIN, half, -half, 1.3, 0.95);
        quad(p, Cityscapes.TRAIN, half + 0.04, 0, 0.7, 3.1, 0.16, 0xFFB020);
        quad(p, Cityscapes.TRAIN, -half - 0.04, 0, 0.7, 3.1, 0.16, 0xFFB020);
    }

    private void coach(Place p, Cityscapes label, int rgb, int trim, double half, double wide, double top) {
        var side = new Material(label, Texture.SIDE_WINDOWS, rgb, trim, 1.6, 0);
        var glass = new Material(label, Texture.GLASS, 0, 0, 1.5, 0);
        var body = Solids.plain(label, rgb);
        var base = Solids.plain(label, trim);
        double slant = label == Cityscapes.TRAIN ? 0.9 : 0.12;
        double floor = 0.3;
        double[] profile = {
            -half,
            floor,
            half,
            floor,
            half,
            1.3,
            half - slant,
            2.7,
            half - slant - 0.1,
            top,
            -half + slant + 0.1,
            top,
            -half + slant,
            2.7,
            -half,
            1.3
        };
        solids.prism(p, profile, -wide, wide, side, base, base, glass, body, body, body, glass, base);
        solids.boxShadow(p, half, wide, top);
    }

    void bicycle(Place p, SplittableRandom random) {
        int[] frames = {0xC03028, 0x2858B0, 0x38A058, 0x202024, 0xE0B020};
        twoWheels(p, Cityscapes.BICYCLE, 1.15, 0.38, 0.14, Solids.pick(frames, random));
        solids.box(p, -0.45, -0.15, -0.09, 0.09, 0.92, 1.0, Solids.plain(Cityscapes.BICYCLE, 0x201C1A));
    }

    void motorcycle(Place p, SplittableRandom random) {
        int[] frames = {0xD02020, 0x1840C0, 0xE07010, 0x208040, 0x303038};
        int rgb = Solids.pick(frames, random);
        twoWheels(p, Cityscapes.MOTORCYCLE, 1.55, 0.38, 0.26, 0x404448);
        var body = Solids.plain(Cityscapes.MOTORCYCLE, rgb);
        solids.box(p, -0.2, 0.5, -0.28, 0.28, 0.45, 1.08, body);
        solids.box(p, -0.95, -0.15, -0.24, 0.24, 0.6, 0.95, Solids.plain(Cityscapes.MOTORCYCLE, 0x1C1C1E));
        solids.box(p, 0.5, 0.72, -0.32, 0.32, 0.7, 1.3, body);
        solids.lamp(Cityscapes.MOTORCYCLE, p.point(0.75, 0, 0.95), 0.14, 0.2, 0xFFF8D8, light.night() ? 0.7 : 0);
        solids.lamp(Cityscapes.MOTORCYCLE, p.point(-0.98, 0, 0.8), 0.14, 0.14, 0xFF2818, light.night() ? 0.4 : 0);
    }

    private void twoWheels(Place p, Cityscapes label, double base, double radius, double thick, int frame) {
        var wheel = label == Cityscapes.BICYCLE
                ? new Material(label, Texture.SPOKES, 0x18181A, 0xA4A8AC, radius, 0)
                : new Material(label, Texture.RADIAL, 0xB8BABC, 0x141416, radius * 0.5, 0);
        var tyre = Solids.plain(label, 0x18181A);
        for (int end = -1; end <= 1; end += 2) {
            double c = end * base / 2;
            for (int side = -1; side <= 1; side += 2) {
                raster.disc(wheel, p.point(c, side * thick / 2, radius), p.ahead(), Solids.UP, radius, 12, 0);
            }
            double rear = Math.max(0.08, thick);
            solids.upright(tyre, p.point(c, 0, 0), rear / 2, radius * 2);
        }
        solids.spot(p.at(), base * 0.5);
        var bar = Solids.plain(label, frame);
        solids.limb(bar, p.point(-base * 0.4, 0, radius), p.point(-base * 0.1, 0, radius * 2.2), 0.06);
        solids.limb(bar, p.point(base * 0.42, 0, radius * 2.3), p.point(-base * 0.1, 0, radius * 2.1), 0.06);
        solids.limb(bar, p.point(base * 0.42, 0, radius * 2.4), p.point(0, 0, radius), 0.06);
        solids.limb(bar, p.point(base * 0.42, 0, radius * 2.8), p.point(base * 0.5, 0, radius), 0.06);
        solids.limb(bar, p.point(base * 0.42, -0.34, radius * 2.85), p.point(base * 0.42, 0.34, radius * 2.85), 0.05);
    }

    private void wheels(Place p, Cityscapes label, double halfWidth, double radius, double... places) {
        var tyre = new Material(label, Texture.RADIAL, 0xA8ACB0, 0x141416, radius * 0.55, 0);
        for (double along : places) {
            for (int side = -1; side <= 1; side += 2) {
                Vec centre = p.point(along, side * (halfWidth + 0.02), radius);
                raster.disc(tyre, centre, p.ahead(), Solids.UP, radius, 12, 0);
                if (along == places[0] || along == places[places.length - 1]) {
                    solids.box(
                            p,
                            along - radius * 0.9,
                            along + radius * 0.9,
                            side * halfWidth - side * 0.22,
                            side * halfWidth,
                            0,
                            radius,
                            Solids.plain(label, 0x141416));
                }
            }
        }
    }

    private void lights(Place p, Cityscapes label, double front, double back, double halfWidth, double height) {
        boolean on = light.night();
        for (int side = -1; side <= 1; side += 2) {
            double c = side * (halfWidth - 0.24);
            quad(p, label, back - 0.02, c, 0.17, height, 0.1, on ? 0xFF3020 : 0xB01818);
            quad(p, label, front + 0.02, c, 0.18, height - 0.12, 0.09, on ? 0xFFFFE8 : 0xE8E8E0);
            if (on) {
                boolean seesFront = p.ahead().dot(raster.pose.ahead) < 0;
                raster.glow(
                        p.point(seesFront ? front + 0.1 : back - 0.1, c, height - 0.1),
                        seesFront ? 0.9 : 0.45,
                        seesFront ? 0xFFF4D0 : 0xFF2010);
            }
        }
    }

    private void quad(
            Place p, Cityscapes label, double along, double c, double halfWidth, double y, double halfHeight, int rgb) {
        raster.polygon(
                Material.of(label, light.night() ? Texture.LIT : Texture.PLAIN, rgb),
                p.point(along, c - halfWidth, y - halfHeight),
                p.point(along, c + halfWidth, y - halfHeight),
                p.point(along, c + halfWidth, y + halfHeight),
                p.point(along, c - halfWidth, y + halfHeight));
    }
}
