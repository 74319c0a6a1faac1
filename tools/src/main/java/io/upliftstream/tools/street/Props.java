package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws the things of a street, each from boxes, prisms, discs and balls around its own place and heading. */
final class Props {
    private static final Vec UP = new Vec(0, 1, 0);
    private static final int[] CAR = {
        0xB02A2A, 0x2C4F9E, 0xDADADA, 0x1E1E22, 0x8C9298, 0x2F6B4A, 0xC9B458, 0x6E2438, 0x4FA3C7, 0xE07B28
    };
    private static final int[] CLOTHES = {
        0xC8343A, 0x2D56B8, 0xE0C040, 0x2E7D54, 0x8A3FA0, 0xE8E8E8, 0x22242C, 0xE07830, 0x3FA0B0, 0xD86A9A
    };
    private static final int[] TROUSERS = {0x26324C, 0x2A2A2E, 0x5A5248, 0x3C5070, 0x7A6A50};
    private static final int[] SKIN = {0xE8BC98, 0xC89070, 0x8C5C40, 0xF0C8A8};

    private final Raster raster;
    private final Light light;
    private final Vec across;

    Props(Raster raster, Light light) {
        this.raster = raster;
        this.light = light;
        Vec right = raster.pose.right;
        across = new Vec(right.x(), 0, right.z()).unit();
    }

    /** A place on the ground with a heading; {@code right} is to the right of {@code ahead}. */
    record Place(Vec at, Vec ahead, Vec right) {
        static Place heading(Vec at, double slope, boolean towards) {
            Vec ahead = new Vec(slope, 0, 1).unit().times(towards ? -1 : 1);
            return new Place(at, ahead, new Vec(ahead.z(), 0, -ahead.x()));
        }

        Place turned(double angle) {
            Vec turned = ahead.times(Math.cos(angle)).plus(right, Math.sin(angle));
            return new Place(at, turned, new Vec(turned.z(), 0, -turned.x()));
        }

        Vec point(double along, double sideways, double up) {
            return at.plus(ahead, along).plus(right, sideways).plus(UP, up);
        }
    }

    private static int pick(int[] colours, SplittableRandom random) {
        int c = colours[random.nextInt(colours.length)];
        int k = random.nextInt(-14, 15);
        return Shader.rgb(level((c >> 16 & 255) + k), level((c >> 8 & 255) + k), level((c & 255) + k));
    }

    private static int level(int value) {
        return Math.max(0, Math.min(255, value));
    }

    private static Material plain(Cityscapes label, int rgb) {
        return Material.of(label, Texture.PLAIN, rgb);
    }

    // ---- shapes ----

    /** Extrudes a convex side profile of (along, up) pairs between two lateral places; strips[i] covers edge i. */
    private void prism(Place place, double[] profile, double left, double right, Material side, Material... strips) {
        int n = profile.length / 2;
        Vec[] leftSide = new Vec[n];
        Vec[] rightSide = new Vec[n];
        for (int i = 0; i < n; i++) {
            leftSide[i] = place.point(profile[2 * i], left, profile[2 * i + 1]);
            rightSide[i] = place.point(profile[2 * i], right, profile[2 * i + 1]);
        }
        raster.polygon(side, leftSide);
        raster.polygon(side, rightSide);
        for (int i = 0; i < n; i++) {
            int j = (i + 1) % n;
            raster.polygon(strips[i % strips.length], leftSide[i], rightSide[i], rightSide[j], leftSide[j]);
        }
    }

    private void box(Place p, double from, double to, double left, double right, double low, double high, Material m) {
        prism(p, new double[] {from, low, to, low, to, high, from, high}, left, right, m, m);
    }

    /** A rectangle that stands upright and faces the camera. */
    private void upright(Material m, Vec base, double halfWidth, double height) {
        raster.polygon(
                m,
                base.plus(across, -halfWidth),
                base.plus(across, halfWidth),
                base.plus(across, halfWidth).plus(UP, height),
                base.plus(across, -halfWidth).plus(UP, height));
    }

    /** A thick line that faces the camera. */
    private void limb(Material m, Vec from, Vec to, double halfWidth) {
        Vec along = to.minus(from).unit();
        Vec side = along.cross(raster.pose.ahead).unit().times(halfWidth);
        raster.polygon(m, from.minus(side), from.plus(side), to.plus(side), to.minus(side));
    }

    /** The shadow of an upright wall between two points on the ground. */
    void shadow(Vec a, Vec b, double height) {
        if (light.sun().red() < 0.15f) {
            return;
        }
        Vec sun = light.towardsSun();
        double reach = Math.min(height / sun.y(), 30) / Math.hypot(sun.x(), sun.z());
        Vec shift = new Vec(-sun.x() * reach, 0, -sun.z() * reach);
        raster.shadow(a, b, b.plus(shift), a.plus(shift));
    }

    private void boxShadow(Place p, double half, double wide, double height) {
        raster.shadow(
                p.point(-half, -wide - 0.1, 0),
                p.point(half, -wide - 0.1, 0),
                p.point(half, wide + 0.1, 0),
                p.point(-half, wide + 0.1, 0));
        shadow(p.point(-half, -wide, 0), p.point(half, -wide, 0), height);
        shadow(p.point(-half, wide, 0), p.point(half, wide, 0), height);
        shadow(p.point(-half, -wide, 0), p.point(-half, wide, 0), height);
        shadow(p.point(half, -wide, 0), p.point(half, wide, 0), height);
    }

    private void spot(Vec centre, double radius) {
        Vec[] corners = new Vec[10];
        for (int i = 0; i < corners.length; i++) {
            double angle = i * Math.PI * 2 / corners.length;
            corners[i] = new Vec(centre.x() + radius * Math.cos(angle), 0, centre.z() + radius * Math.sin(angle));
        }
        raster.shadow(corners);
    }

    private void lamp(Cityscapes label, Vec centre, double halfWidth, double height, int rgb, double glow) {
        upright(Material.of(label, Texture.LIT, rgb), centre.plus(UP, -height / 2), halfWidth, height);
        if (glow > 0) {
            raster.glow(centre, glow, rgb);
        }
    }

    // ---- vehicles ----

    private void wheels(Place p, Cityscapes label, double halfWidth, double radius, double... places) {
        var tyre = new Material(label, Texture.RADIAL, 0xA8ACB0, 0x141416, radius * 0.55, 0);
        for (double along : places) {
            for (int side = -1; side <= 1; side += 2) {
                Vec centre = p.point(along, side * (halfWidth + 0.02), radius);
                raster.disc(tyre, centre, p.ahead(), UP, radius, 12, 0);
                if (along == places[0] || along == places[places.length - 1]) {
                    box(
                            p,
                            along - radius * 0.9,
                            along + radius * 0.9,
                            side * halfWidth - side * 0.22,
                            side * halfWidth,
                            0,
                            radius,
                            plain(label, 0x141416));
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

    void car(Place p, SplittableRandom random) {
        int rgb = pick(CAR, random);
        boolean van = random.nextDouble() < 0.2;
        double half = random.nextDouble(1.95, 2.3);
        double wide = random.nextDouble(0.86, 0.95);
        double roof = van ? 1.9 : random.nextDouble(1.42, 1.62);
        double belt = van ? 1.05 : 0.9;
        double tail = random.nextBoolean() || van ? -half + 0.1 : -half + 0.65;
        var body = plain(Cityscapes.CAR, rgb);
        var dark = plain(Cityscapes.CAR, 0x1A1A1C);
        var glass = new Material(Cityscapes.CAR, Texture.GLASS, 0, 0, roof - belt, 0);
        prism(
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
        prism(p, cabin, -wide + 0.08, wide - 0.08, glass, body, glass, body, glass);
        // Pillars: thin upright boxes keep the glass from reading as one dark block.
        double middle = (tail + hood) / 2 - 0.1;
        box(p, middle - 0.06, middle + 0.06, -wide + 0.06, wide - 0.06, belt, roof - 0.02, body);
        box(p, -half - 0.03, -half, -wide, wide, 0.3, 0.45, dark);
        box(p, half, half + 0.03, -wide, wide, 0.3, 0.5, dark);
        quad(p, Cityscapes.CAR, -half - 0.04, 0, 0.28, 0.62, 0.07, light.night() ? 0x888880 : 0xF0F0E0);
        wheels(p, Cityscapes.CAR, wide, 0.33, -half + 0.75, half - 0.8);
        lights(p, Cityscapes.CAR, half, -half, wide, belt - 0.12);
        boxShadow(p, half, wide, roof * 0.8);
    }

    void truck(Place p, SplittableRandom random) {
        int[] cabs = {0xD03030, 0x2848A0, 0xE8E8E8, 0xE8A020, 0x308050};
        int[] cargo = {0xE8E6DE, 0xD8DCE2, 0xB8C4D0, 0xC8A878, 0x8898B0};
        double half = random.nextDouble(3.4, 4.8);
        double wide = 1.2;
        double top = random.nextDouble(3.1, 3.7);
        int trim = pick(cabs, random);
        var box = new Material(Cityscapes.TRUCK, Texture.CARGO, pick(cargo, random), trim, top - 0.9, 0);
        var cab = plain(Cityscapes.TRUCK, trim);
        var glass = new Material(Cityscapes.TRUCK, Texture.GLASS, 0, 0, 1, 0);
        var dark = plain(Cityscapes.TRUCK, 0x222226);
        double split = half - 1.9;
        box(p, -half, split - 0.15, -wide, wide, 0.95, top, box);
        box(p, -half + 0.1, half - 0.2, -wide + 0.25, wide - 0.25, 0.5, 0.95, dark);
        box(p, -half, -half + 0.1, -wide, wide, 0.45, 0.68, plain(Cityscapes.TRUCK, 0xD8D0C0));
        double[] profile = {split, 0.5, half, 0.5, half, 1.5, half - 0.25, 2.6, split, 2.6};
        prism(p, profile, -wide + 0.06, wide - 0.06, cab, dark, cab, glass, cab, cab);
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
        boxShadow(p, half, wide, top);
    }

    void bus(Place p, SplittableRandom random) {
        int[] colours = {0xE8C020, 0xD02828, 0xF08020};
        int rgb = pick(colours, random);
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
            box(p, -half, half, side * 1.31 - 0.03, side * 1.31 + 0.03, 0.05, 0.4, plain(Cityscapes.TRAIN, 0x30343A));
        }
        var pole = plain(Cityscapes.TRAIN, 0x303030);
        box(p, -1, 1, -0.5, 0.5, 3.5, 3.75, pole);
        limb(pole, p.point(-0.8, 0, 3.7), p.point(0.8, 0, 4.9), 0.08);
        lights(p, Cityscapes.TRAIN, half, -half, 1.3, 0.95);
        quad(p, Cityscapes.TRAIN, half + 0.04, 0, 0.7, 3.1, 0.16, 0xFFB020);
        quad(p, Cityscapes.TRAIN, -half - 0.04, 0, 0.7, 3.1, 0.16, 0xFFB020);
    }

    private void coach(Place p, Cityscapes label, int rgb, int trim, double half, double wide, double top) {
        var side = new Material(label, Texture.SIDE_WINDOWS, rgb, trim, 1.6, 0);
        var glass = new Material(label, Texture.GLASS, 0, 0, 1.5, 0);
        var body = plain(label, rgb);
        var base = plain(label, trim);
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
        prism(p, profile, -wide, wide, side, base, base, glass, body, body, body, glass, base);
        boxShadow(p, half, wide, top);
    }

    private void twoWheels(Place p, Cityscapes label, double base, double radius, double thick, int frame) {
        var wheel = label == Cityscapes.BICYCLE
                ? new Material(label, Texture.SPOKES, 0x18181A, 0xA4A8AC, radius, 0)
                : new Material(label, Texture.RADIAL, 0xB8BABC, 0x141416, radius * 0.5, 0);
        var tyre = plain(label, 0x18181A);
        for (int end = -1; end <= 1; end += 2) {
            double c = end * base / 2;
            for (int side = -1; side <= 1; side += 2) {
                raster.disc(wheel, p.point(c, side * thick / 2, radius), p.ahead(), UP, radius, 12, 0);
            }
            double rear = Math.max(0.08, thick);
            upright(tyre, p.point(c, 0, 0), rear / 2, radius * 2);
        }
        spot(p.at(), base * 0.5);
        var bar = plain(label, frame);
        limb(bar, p.point(-base * 0.4, 0, radius), p.point(-base * 0.1, 0, radius * 2.2), 0.06);
        limb(bar, p.point(base * 0.42, 0, radius * 2.3), p.point(-base * 0.1, 0, radius * 2.1), 0.06);
        limb(bar, p.point(base * 0.42, 0, radius * 2.4), p.point(0, 0, radius), 0.06);
        limb(bar, p.point(base * 0.42, 0, radius * 2.8), p.point(base * 0.5, 0, radius), 0.06);
        limb(bar, p.point(base * 0.42, -0.34, radius * 2.85), p.point(base * 0.42, 0.34, radius * 2.85), 0.05);
    }

    void bicycle(Place p, SplittableRandom random) {
        int[] frames = {0xC03028, 0x2858B0, 0x38A058, 0x202024, 0xE0B020};
        twoWheels(p, Cityscapes.BICYCLE, 1.15, 0.38, 0.14, pick(frames, random));
        box(p, -0.45, -0.15, -0.09, 0.09, 0.92, 1.0, plain(Cityscapes.BICYCLE, 0x201C1A));
    }

    void motorcycle(Place p, SplittableRandom random) {
        int[] frames = {0xD02020, 0x1840C0, 0xE07010, 0x208040, 0x303038};
        int rgb = pick(frames, random);
        twoWheels(p, Cityscapes.MOTORCYCLE, 1.55, 0.38, 0.26, 0x404448);
        var body = plain(Cityscapes.MOTORCYCLE, rgb);
        box(p, -0.2, 0.5, -0.28, 0.28, 0.45, 1.08, body);
        box(p, -0.95, -0.15, -0.24, 0.24, 0.6, 0.95, plain(Cityscapes.MOTORCYCLE, 0x1C1C1E));
        box(p, 0.5, 0.72, -0.32, 0.32, 0.7, 1.3, body);
        lamp(Cityscapes.MOTORCYCLE, p.point(0.75, 0, 0.95), 0.14, 0.2, 0xFFF8D8, light.night() ? 0.7 : 0);
        lamp(Cityscapes.MOTORCYCLE, p.point(-0.98, 0, 0.8), 0.14, 0.14, 0xFF2818, light.night() ? 0.4 : 0);
    }

    void rider(Place p, double time, boolean motor, SplittableRandom random) {
        int[] vests = {0xC8F030, 0xFF7A18, 0xD02838, 0x2050C0, 0x282830};
        var shirt = plain(Cityscapes.RIDER, pick(vests, random));
        var trousers = plain(Cityscapes.RIDER, pick(TROUSERS, random));
        var helmet = plain(Cityscapes.RIDER, pick(CAR, random));
        Vec hip = p.point(-0.25, 0, motor ? 0.92 : 1.02);
        Vec neck = p.point(0.02, 0, motor ? 1.45 : 1.55);
        double phase = time * 7 + random.nextDouble(6.28);
        for (int side = -1; side <= 1; side += 2) {
            double lift = motor ? 0 : 0.16 * Math.sin(phase + side * Math.PI / 2);
            Vec knee = p.point(0.15, side * 0.17, (motor ? 0.75 : 0.72) + lift);
            Vec foot = p.point(motor ? -0.1 : 0.02, side * 0.17, 0.3 + lift);
            limb(trousers, hip.plus(p.right(), side * 0.1), knee, 0.1);
            limb(trousers, knee, foot, 0.08);
            limb(shirt, neck.plus(p.right(), side * 0.2).plus(UP, -0.08), p.point(0.45, side * 0.3, 1.1), 0.07);
        }
        Vec half = across;
        raster.polygon(
                shirt,
                hip.plus(half, -0.19).plus(UP, -0.08),
                hip.plus(half, 0.19).plus(UP, -0.08),
                neck.plus(half, 0.25),
                neck.plus(half, -0.25));
        raster.ball(plain(Cityscapes.RIDER, pick(SKIN, random)), neck.plus(UP, 0.15), 0.12, 0.15);
        raster.ball(helmet, neck.plus(UP, 0.24), 0.15, 0.14);
    }

    void person(Vec at, double time, boolean walking, SplittableRandom random) {
        double tall = random.nextDouble() < 0.12 ? random.nextDouble(1.15, 1.4) : random.nextDouble(1.6, 1.9);
        double k = tall / 1.75;
        var shirt = plain(Cityscapes.PERSON, pick(CLOTHES, random));
        var trousers = plain(Cityscapes.PERSON, pick(TROUSERS, random));
        var skin = plain(Cityscapes.PERSON, pick(SKIN, random));
        int[] hairs = {0x2A2018, 0x5A3A20, 0x181818, 0xB89058, 0x989490};
        var hair = plain(Cityscapes.PERSON, pick(hairs, random));
        double phase = time * 6.5 + random.nextDouble(6.28);
        double swing = walking ? Math.sin(phase) : 0;
        boolean coat = random.nextDouble() < 0.3;
        Vec hip = at.plus(UP, 0.9 * k);
        for (int side = -1; side <= 1; side += 2) {
            Vec foot = at.plus(across, side * (0.1 + 0.13 * swing) * k).plus(UP, 0.02);
            limb(trousers, foot, hip.plus(across, side * 0.08 * k), 0.105 * k);
            upright(
                    plain(Cityscapes.PERSON, 0x1C1814),
                    at.plus(across, side * (0.1 + 0.13 * swing) * k).plus(raster.pose.ahead, -0.01),
                    0.11 * k,
                    0.09 * k);
            Vec shoulder = at.plus(across, side * 0.25 * k).plus(UP, 1.4 * k);
            Vec hand = at.plus(across, side * (0.3 - 0.12 * swing) * k).plus(UP, 0.82 * k);
            limb(shirt, shoulder, hand, 0.07 * k);
            raster.ball(skin, hand, 0.06 * k, 0.07 * k);
        }
        double hem = coat ? 0.55 : 0.85;
        raster.polygon(
                shirt,
                at.plus(across, -0.21 * k).plus(UP, hem * k),
                at.plus(across, 0.21 * k).plus(UP, hem * k),
                at.plus(across, 0.27 * k).plus(UP, 1.45 * k),
                at.plus(across, -0.27 * k).plus(UP, 1.45 * k));
        raster.ball(skin, at.plus(UP, 1.6 * k), 0.12 * k, 0.16 * k);
        raster.ball(hair, at.plus(UP, 1.68 * k), 0.13 * k, 0.11 * k);
        if (light.falling() == Light.Falling.RAIN && random.nextDouble() < 0.5) {
            var cover = plain(Cityscapes.PERSON, pick(CLOTHES, random));
            raster.polygon(
                    cover,
                    at.plus(across, -0.55).plus(UP, 1.8 * k),
                    at.plus(across, 0.55).plus(UP, 1.8 * k),
                    at.plus(across, 0.28).plus(UP, 2.12 * k),
                    at.plus(across, -0.28).plus(UP, 2.12 * k));
        }
        spot(at, 0.32);
        shadow(at.plus(across, -0.2), at.plus(across, 0.2), tall);
    }

    // ---- furniture ----

    private void post(Vec base, double width, double height, int rgb) {
        upright(new Material(Cityscapes.POLE, Texture.ROUND, rgb, 0, width, 0), base, width / 2, height);
        shadow(base.plus(across, -width / 2), base.plus(across, width / 2), height);
    }

    void streetLamp(Vec base, Vec towardsRoad, SplittableRandom look) {
        int rgb = look.nextBoolean() ? 0x8C9094 : 0x5C625E;
        double height = look.nextDouble(5.5, 7.5);
        post(base, 0.24, height, rgb);
        Vec top = base.plus(UP, height);
        Vec head = top.plus(towardsRoad, 1.5).plus(UP, 0.25);
        limb(plain(Cityscapes.POLE, rgb), top, head, 0.09);
        upright(plain(Cityscapes.POLE, rgb), head, 0.4, 0.2);
        lamp(Cityscapes.POLE, head, 0.34, 0.12, light.night() ? 0xFFE8B0 : 0xE8E8E0, light.night() ? 1.8 : 0);
    }

    void bollard(Vec base) {
        post(base, 0.2, 1.1, 0x6A6E72);
    }

    void trafficLight(Vec base, Vec towardsRoad, double arm, int state) {
        post(base, 0.22, arm > 0 ? 5.7 : 3.9, 0x74787C);
        head(base.plus(UP, 2.3).plus(raster.pose.ahead, -0.15), state);
        if (arm > 0) {
            Vec top = base.plus(UP, 5.6);
            Vec end = top.plus(towardsRoad, arm);
            limb(plain(Cityscapes.POLE, 0x74787C), top, end, 0.1);
            head(end.plus(UP, -1.15).plus(raster.pose.ahead, -0.15), state);
        }
    }

    private void head(Vec bottom, int state) {
        upright(Material.of(Cityscapes.TRAFFIC_LIGHT, Texture.PLAIN, 0xD8B020), bottom.plus(UP, -0.05), 0.42, 1.5);
        Vec front = bottom.plus(raster.pose.ahead, -0.03);
        upright(plain(Cityscapes.TRAFFIC_LIGHT, 0x101214), front, 0.34, 1.4);
        int[] lit = {0xFF2A18, 0xFFB818, 0x28F078};
        int[] dim = {0x481410, 0x443810, 0x10401C};
        for (int i = 0; i < 3; i++) {
            Vec centre = front.plus(UP, 1.15 - i * 0.46).plus(raster.pose.ahead, -0.03);
            raster.disc(
                    Material.of(
                            Cityscapes.TRAFFIC_LIGHT,
                            i == state ? Texture.LIT : Texture.PLAIN,
                            i == state ? lit[i] : dim[i]),
                    centre,
                    across,
                    UP,
                    0.21,
                    12,
                    0);
        }
        raster.glow(front.plus(UP, 1.15 - state * 0.46), light.night() ? 0.9 : 0.35, lit[state]);
    }

    void sign(Vec base, SplittableRandom look) {
        post(base, 0.16, 2.6, 0x9A9EA2);
        Vec centre = base.plus(UP, 2.75).plus(raster.pose.ahead, -0.1);
        double r = 0.62;
        Cityscapes sign = Cityscapes.TRAFFIC_SIGN;
        switch (look.nextInt(7)) {
            case 0 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF2F2F0, 0xD81820, r * 0.68, 2),
                        centre,
                        across,
                        UP,
                        r,
                        16,
                        0);
            case 1 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF2F2F0, 0xD81820, r * 0.55, 2),
                        centre,
                        across,
                        UP,
                        r * 1.2,
                        3,
                        Math.PI / 2);
            case 2 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0x1848C0, 0xF0F0F0, r * 0.88, 1),
                        centre,
                        across,
                        UP,
                        r,
                        16,
                        0);
            case 3 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xF8C818, 0xF4F4F0, r * 0.72, 0),
                        centre,
                        across,
                        UP,
                        r,
                        4,
                        0);
            case 4 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xD01820, 0xF4F4F4, r * 0.9, 1),
                        centre,
                        across,
                        UP,
                        r,
                        8,
                        Math.PI / 8);
            case 5 ->
                raster.disc(
                        new Material(sign, Texture.RADIAL, 0xD81820, 0xF4F4F4, r * 0.95, 1),
                        centre,
                        across,
                        UP,
                        r,
                        16,
                        0);
            default -> {
                upright(plain(sign, 0xF0F0F0), centre.plus(UP, -r), r, r * 2);
                upright(
                        plain(sign, 0x1850C8),
                        centre.plus(UP, -r * 0.9).plus(raster.pose.ahead, -0.02),
                        r * 0.9,
                        r * 1.8);
                upright(plain(sign, 0xF0F0F0), centre.plus(UP, -r * 0.5).plus(raster.pose.ahead, -0.04), r * 0.25, r);
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
        Vec centre = base.plus(towardsRoad, -0.8).plus(UP, 2.3).plus(raster.pose.ahead, -0.2);
        upright(plain(Cityscapes.TRAFFIC_SIGN, ink), centre, 1.3, 1.4);
        upright(plain(Cityscapes.TRAFFIC_SIGN, rgb), centre.plus(UP, 0.06).plus(raster.pose.ahead, -0.02), 1.24, 1.28);
        for (int i = 0; i < 3; i++) {
            upright(
                    plain(Cityscapes.TRAFFIC_SIGN, ink),
                    centre.plus(UP, 0.2 + i * 0.38).plus(across, -0.2).plus(raster.pose.ahead, -0.04),
                    0.5 + 0.2 * look.nextDouble(),
                    0.16);
        }
    }

    void tree(Vec base, SplittableRandom random) {
        double height = random.nextDouble(4.5, 8.5);
        double crown = height * random.nextDouble(0.24, 0.36);
        int green = Shader.rgb(random.nextInt(34, 84), random.nextInt(84, 124), random.nextInt(26, 52));
        if (random.nextDouble() < 0.08) {
            green = Shader.rgb(random.nextInt(130, 170), random.nextInt(90, 110), 36);
        }
        double trunk = random.nextDouble(0.24, 0.42);
        upright(
                new Material(Cityscapes.VEGETATION, Texture.ROUND, 0x5A4632, 0, trunk, 0),
                base,
                trunk / 2,
                height - crown);
        Vec centre = base.plus(UP, height - crown * 0.9);
        boolean conifer = random.nextDouble() < 0.2;
        int blobs = conifer ? 6 : 11;
        for (int i = 0; i < blobs; i++) {
            int shade = random.nextInt(-14, 15);
            int rgb = Shader.rgb(
                    level((green >> 16) + shade), level((green >> 8 & 255) + shade), level((green & 255) + shade / 2));
            var leaves = new Material(Cityscapes.VEGETATION, Texture.LEAVES, rgb, 0, 1, random.nextInt(1000));
            if (conifer) {
                double k = i / 5.0;
                double r = crown * (1.0 - 0.75 * k);
                raster.ball(leaves, base.plus(UP, height * (0.28 + 0.7 * k)), r, crown * 0.55);
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
            spot(base.plus(new Vec(-sun.x() * reach, 0, -sun.z() * reach)), crown * 1.1);
        }
        spot(base, 0.5);
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
        spot(base, 1.0);
    }
}
