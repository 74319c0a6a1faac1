package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/**
 * Fills a street with things. Each place along it draws its contents from (seed, kind, number) alone, so any stretch
 * at any time can be built without what came before.
 */
final class Street {
    private static final double REACH = 150;
    private static final double LOT = 13;
    private static final int[] FACADES = {
        0xB86A50, 0xD8BC8C, 0xC8C0B0, 0xA0705C, 0xD8A880, 0x8C98A4, 0xE0D8C4, 0xB08878, 0xC49858, 0x9C8C7C
    };

    private final long seed;
    private final Layout layout;
    private final Raster raster;
    private final Solids solids;
    private final Vehicles vehicles;
    private final People people;
    private final Furniture furniture;
    private final Plants plants;
    private final double time;
    private final double from;

    Street(long seed, Layout layout, Light light, Raster raster, double time) {
        this.seed = seed;
        this.layout = layout;
        this.raster = raster;
        this.time = time;
        solids = new Solids(raster, light);
        vehicles = new Vehicles(solids);
        people = new People(solids);
        furniture = new Furniture(solids);
        plants = new Plants(solids);
        from = raster.pose.position.z();
    }

    void draw() {
        for (int side = 0; side < 2; side++) {
            for (long i = number(from - LOT, LOT); i * LOT < from + REACH; i++) {
                lot(side, i);
            }
            furniture(side);
            walkers(side);
        }
        for (int i = 0; i < layout.lanes.size(); i++) {
            traffic(i, layout.lanes.get(i));
        }
        for (long i = number(from, layout.crossingSpacing); crossing(i) < from + 90; i++) {
            crossing(i, Noise.random(seed, 50, i));
        }
        backdrop();
    }

    private static long number(double s, double spacing) {
        return (long) Math.floor(s / spacing);
    }

    private double crossing(long i) {
        return (i + 0.7) * layout.crossingSpacing;
    }

    /** Returns where along the street the crossings in sight lie. */
    double[] crossings() {
        return java.util.stream.LongStream.range(0, 4)
                .mapToDouble(i -> crossing(i - 1 + number(from, layout.crossingSpacing)))
                .toArray();
    }

    private static int side(int side) {
        return side == 0 ? -1 : 1;
    }

    /** Distant trees that close the street before the horizon. */
    private void backdrop() {
        SplittableRandom random = Noise.random(seed, 60, 0);
        var pose = raster.pose;
        Vec ahead = new Vec(pose.ahead.x(), 0, pose.ahead.z()).unit();
        Vec origin = new Vec(pose.position.x(), 0, pose.position.z()).plus(ahead, REACH + 25);
        Vec right = pose.right;
        for (int i = -14; i < 14; i++) {
            int rgb = Shader.rgb(random.nextInt(50, 80), random.nextInt(84, 110), random.nextInt(46, 66));
            var leaves = new Material(Cityscapes.VEGETATION, Texture.LEAVES, rgb, 0, 1, i + 20);
            double height = random.nextDouble(4, 9);
            Vec base = origin.plus(right, i * 12).plus(ahead, random.nextDouble(0, 2));
            raster.polygon(
                    leaves,
                    base.plus(right, -9),
                    base.plus(right, 9),
                    base.plus(right, 5).plus(new Vec(0, height, 0)),
                    base.plus(right, -4).plus(new Vec(0, height * 1.1, 0)));
        }
    }

    private Vec at(int side, double s, double beyond) {
        return layout.at(s, layout.lotLine(side) + side(side) * beyond, 0);
    }

    private void lot(int side, long i) {
        SplittableRandom random = Noise.random(seed, 10 + side, i);
        double s0 = i * LOT;
        double s1 = s0 + LOT;
        double kind = random.nextDouble();
        double[] share = layout.lots;
        if ((kind -= share[0]) < 0) {
            building(side, s0, s1 - (random.nextDouble() < 0.2 ? 2 : 0), 0.1, random.nextDouble(6, 17), random);
            return;
        }
        boolean house = random.nextDouble() < 0.55;
        if (house) {
            building(side, s0 + 1.5, s1 - 1.5, random.nextDouble(7, 12), random.nextDouble(4.5, 8), random);
        }
        int trees = random.nextInt(1, 4);
        for (int k = 0; k < trees; k++) {
            plants.tree(at(side, s0 + random.nextDouble(LOT), random.nextDouble(2.5, house ? 6 : 14)), random);
        }
        if ((kind -= share[1]) < 0) {
            wall(side, s0, s1, random);
        } else if ((kind -= share[2]) < 0) {
            fence(side, s0, s1, random);
        } else if (kind - share[3] < 0) {
            hedge(side, s0, s1, random);
        } else {
            for (int k = random.nextInt(3); k > 0; k--) {
                plants.bush(at(side, s0 + random.nextDouble(LOT), random.nextDouble(1, 8)), random);
            }
        }
    }

    /** An upright rectangle along the street and its shadow. */
    private void front(Material material, int side, double s0, double s1, double beyond, double height) {
        Vec a = at(side, s0, beyond);
        Vec b = at(side, s1, beyond);
        Vec up = new Vec(0, height, 0);
        raster.polygon(material, a, b, b.plus(up), a.plus(up));
        solids.shadow(a, b, height);
    }

    /** An upright rectangle across, facing the camera, from one distance beyond the lot line to another. */
    private void end(Material material, int side, double s, double near, double far, double height) {
        Vec a = at(side, s, near);
        Vec b = at(side, s, far);
        Vec up = new Vec(0, height, 0);
        raster.polygon(material, a, b, b.plus(up), a.plus(up));
    }

    private void building(int side, double s0, double s1, double beyond, double height, SplittableRandom random) {
        int rgb = FACADES[random.nextInt(FACADES.length)];
        double tall = Math.round(height / 3.1) * 3.1 + 0.5;
        var face = new Material(
                Cityscapes.BUILDING,
                Texture.FACADE,
                rgb,
                random.nextBoolean() ? 0xE8E4DC : 0x5A4A40,
                random.nextDouble(1.9, 2.9),
                random.nextInt(1 << 16));
        double deep = beyond + 11;
        front(face, side, s0, s1, beyond, tall);
        end(face, side, s0, beyond, deep, tall);
        end(face, side, s1, beyond, deep, tall);
        boolean pitched = tall < 11 && random.nextDouble() < 0.75;
        int[] roofs = {0x9C4434, 0x6A4A40, 0x50545C, 0xA85A3C};
        int tiles = roofs[random.nextInt(roofs.length)];
        if (pitched) {
            var roof = new Material(Cityscapes.BUILDING, Texture.ROOF, tiles, 0, 1, 0);
            Vec eave = new Vec(0, tall, 0);
            Vec ridge = new Vec(0, tall + 3.6, 0);
            double middle = (beyond + deep) / 2;
            Vec a = at(side, s0 - 0.3, beyond - 0.4).plus(eave);
            Vec b = at(side, s1 + 0.3, beyond - 0.4).plus(eave);
            Vec c = at(side, s1 + 0.3, middle).plus(ridge);
            Vec d = at(side, s0 - 0.3, middle).plus(ridge);
            raster.polygon(roof, a, b, c, d);
            var gable = Material.of(Cityscapes.BUILDING, Texture.PLAIN, rgb);
            for (double s : new double[] {s0, s1}) {
                raster.polygon(
                        gable,
                        at(side, s, beyond).plus(eave),
                        at(side, s, deep).plus(eave),
                        at(side, s, middle).plus(ridge));
            }
        }
    }

    private void wall(int side, double s0, double s1, SplittableRandom random) {
        int[] colours = {0x8E8A9A, 0x9A9AA8, 0x84808C};
        SplittableRandom look = Noise.random(seed, 20 + side, 0);
        int rgb = colours[look.nextInt(colours.length)];
        double height = 1.7 + 0.5 * look.nextInt(3) + random.nextDouble(0.3);
        var bricks = new Material(
                Cityscapes.WALL, Texture.BRICKS, rgb, 0x5C5864, look.nextDouble(0.8, 1.2), random.nextInt(1000));
        var cap = Material.of(Cityscapes.WALL, Texture.PLAIN, 0xB4B2BC);
        front(bricks, side, s0, s1, 0.05, height);
        end(bricks, side, s0, 0.05, 0.45, height);
        Vec low = new Vec(0, height, 0);
        Vec high = new Vec(0, height + 0.18, 0);
        Vec a = at(side, s0, -0.02);
        Vec b = at(side, s1, -0.02);
        raster.polygon(cap, a.plus(low), b.plus(low), b.plus(high), a.plus(high));
    }

    private void fence(int side, double s0, double s1, SplittableRandom random) {
        int[] colours = {0xA8723C, 0xE8E4DA, 0x8C5A34, 0xB89060};
        SplittableRandom look = Noise.random(seed, 22 + side, i(s0));
        int rgb = colours[look.nextInt(colours.length)];
        double height = look.nextDouble(1.5, 2.2);
        var slats = new Material(
                Cityscapes.FENCE, Texture.SLATS, rgb, 0x463828, look.nextDouble(0.26, 0.4), random.nextInt(1000));
        front(slats, side, s0, s1, 0.05, height);
    }

    /** Fences keep one look over three lots. */
    private static long i(double s0) {
        return Math.round(s0 / LOT) / 3;
    }

    private void hedge(int side, double s0, double s1, SplittableRandom random) {
        int rgb = Shader.rgb(random.nextInt(44, 70), random.nextInt(90, 116), random.nextInt(34, 50));
        var leaves = new Material(Cityscapes.VEGETATION, Texture.LEAVES, rgb, 0, 1, random.nextInt(1000));
        double height = random.nextDouble(1.1, 2.2);
        front(leaves, side, s0, s1, 0.2, height);
        end(leaves, side, s0, 0.2, 1.4, height);
        Vec up = new Vec(0, height, 0);
        raster.polygon(
                leaves,
                at(side, s0, 0.2).plus(up),
                at(side, s1, 0.2).plus(up),
                at(side, s1, 1.4).plus(up),
                at(side, s0, 1.4).plus(up));
    }

    private void furniture(int side) {
        double spacing = 9;
        double kerb = layout.verge[side] + 0.55;
        Vec towardsRoad = new Vec(-side(side), 0, 0);
        SplittableRandom look = Noise.random(seed, 30 + side, -1);
        boolean avenue = look.nextDouble() < 0.5;
        for (long i = number(from - 3, spacing); i * spacing < from + 95; i++) {
            SplittableRandom random = Noise.random(seed, 30 + side, i);
            double s = i * spacing + random.nextDouble(2.5);
            Vec base = layout.at(s, layout.edge[side] + side(side) * kerb, 0);
            if (Math.floorMod(i, 3) == side) {
                furniture.streetLamp(base, towardsRoad, Noise.random(seed, 34, 0));
            } else {
                double kind = random.nextDouble();
                if (kind < 0.4) {
                    furniture.sign(base, random);
                } else if (kind < 0.46) {
                    furniture.board(base, towardsRoad, random);
                } else if (kind < 0.52) {
                    furniture.bollard(base);
                    furniture.bollard(layout.at(s + 2, layout.edge[side] + side(side) * kerb, 0));
                } else if (kind < 0.92) {
                    parkedBicycles(side, s, random);
                }
            }
            if (avenue && random.nextDouble() < 0.6) {
                Vec verge = layout.at(s + 4.5, layout.edge[side] + side(side) * (layout.verge[side] / 2 + 0.5), 0);
                plants.tree(verge, random);
            } else if (layout.verge[side] > 1.5 && random.nextDouble() < 0.4) {
                plants.bush(layout.at(s + 4, layout.edge[side] + side(side) * layout.verge[side] / 2, 0), random);
            }
        }
    }

    private void parkedBicycles(int side, double s, SplittableRandom random) {
        boolean motor = random.nextDouble() < 0.45;
        int count = random.nextInt(2, 6);
        for (int k = 0; k < count; k++) {
            Vec place = layout.at(
                    s + k * (motor ? 1.3 : 0.9), layout.edge[side] + side(side) * (layout.verge[side] + 1.0), 0);
            var p = Place.heading(place, layout.slope(s), false).turned(1.1 + random.nextDouble(0.8));
            if (motor) {
                vehicles.motorcycle(p, random);
            } else {
                vehicles.bicycle(p, random);
            }
        }
    }

    private void walkers(int side) {
        for (int stream = 0; stream < 3; stream++) {
            int key = 40 + side * 3 + stream;
            SplittableRandom look = Noise.random(seed, key, -1);
            double speed = (stream == 0 ? 0 : stream == 1 ? 1.3 : -1.2) * look.nextDouble(0.85, 1.15);
            double spacing = look.nextDouble(9, 17);
            double moved = speed * time;
            for (long i = number(from - moved, spacing); i * spacing + moved < from + 60; i++) {
                SplittableRandom random = Noise.random(seed, key, i);
                if (random.nextDouble() < 0.3) {
                    continue;
                }
                double s = i * spacing + moved + random.nextDouble(spacing * 0.6);
                double t = layout.edge[side]
                        + side(side)
                                * (layout.verge[side]
                                        + 0.9
                                        + random.nextDouble(Math.max(0.5, layout.walk[side] - 1.6)));
                people.person(layout.at(s, t, 0), time, speed != 0, random);
                if (random.nextDouble() < 0.3) {
                    people.person(layout.at(s + 0.3, t - 0.65, 0), time, speed != 0, random);
                }
            }
        }
    }

    private void traffic(int number, Layout.Lane lane) {
        boolean towards = lane.t() < 0 && lane.speed() <= 0;
        double moved = lane.speed() * time;
        double spacing = lane.spacing();
        boolean own = lane.traffic() == Layout.Traffic.OWN;
        for (long i = number(from - moved - 20, spacing); i * spacing + moved < from + REACH * 0.9; i++) {
            SplittableRandom random = Noise.random(seed, 70 + number, i);
            double s = i * spacing + moved;
            if (own) {
                s += 15.5 + random.nextDouble(8) + 2.5 * Math.sin(0.31 * time + i);
                if (s < from + 8) {
                    continue;
                }
            } else {
                s += random.nextDouble(Math.max(0.1, spacing * 0.35));
            }
            var p = Place.heading(layout.at(s, lane.t(), 0), layout.slope(s), towards);
            double kind = random.nextDouble();
            switch (lane.traffic()) {
                case OWN, MOTOR -> {
                    if (kind < 0.38) {
                        vehicles.car(p, random);
                    } else if (kind < 0.56) {
                        vehicles.truck(p, random);
                    } else if (kind < 0.66) {
                        vehicles.bus(p, random);
                    } else if (kind < 0.9) {
                        people.rider(p, time, true, random);
                        vehicles.motorcycle(p, random);
                    }
                }
                case BICYCLES -> {
                    if (kind < 0.75) {
                        people.rider(p, time, false, random);
                        vehicles.bicycle(p, random);
                    }
                }
                case TRAMS -> {
                    if (kind < 0.85) {
                        vehicles.tram(p, random);
                    }
                }
                case PARKED -> {
                    if (kind < 0.6) {
                        vehicles.car(p, random);
                    }
                }
            }
        }
    }

    private void crossing(long i, SplittableRandom random) {
        double s = crossing(i);
        int state = (int) (((time + random.nextDouble(12)) / 6) % 2) == 0 ? 0 : 2;
        for (int side = 0; side < 2; side++) {
            Vec base = layout.at(s - 2, layout.edge[side] + side(side) * 0.6, 0);
            double arm = random.nextDouble() < 0.6 ? Math.min(4.5, Math.abs(layout.edge[side]) - 0.2) : 0;
            if (random.nextDouble() < 0.9) {
                furniture.trafficLight(base, new Vec(-side(side), 0, 0), arm, state);
            }
        }
        int count = random.nextInt(0, 4);
        for (int k = 0; k < count; k++) {
            double width = layout.edge[1] - layout.edge[0] + 4;
            double way = (time * random.nextDouble(0.9, 1.4) + random.nextDouble(50)) / width % 2;
            double t = layout.edge[0] - 2 + width * (way < 1 ? way : 2 - way);
            people.person(layout.at(s + random.nextDouble(-1.2, 1.2), t, 0), time, true, random);
        }
    }
}
