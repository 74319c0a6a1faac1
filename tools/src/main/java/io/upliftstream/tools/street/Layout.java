package io.upliftstream.tools.street;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * The street's plan in street coordinates: s metres along it, t metres to the right of the camera's lane. The centre
 * line bends gently, world x = t + bend(s), world z = s.
 */
final class Layout {
    static final double LANE = 3.4;

    /** A strip vehicles or riders move along; a negative speed comes towards the camera. */
    record Lane(double t, double speed, double spacing, Traffic traffic) {}

    enum Traffic {
        OWN,
        MOTOR,
        BICYCLES,
        TRAMS,
        PARKED
    }

    final List<Lane> lanes = new ArrayList<>();
    /** Lateral places of dashed and of solid lines. */
    final List<Double> dashed = new ArrayList<>();

    final List<Double> solid = new ArrayList<>();
    /** The edge of the road on the left and on the right; the left one is negative. */
    final double[] edge = new double[2];

    final double[] verge = new double[2];
    final double[] walk = new double[2];
    final double tramTrack;
    final boolean tram;
    final double crossingSpacing;
    final double cameraSpeed;
    /** Shares of building, wall, fence and hedge lots; what is left is park. */
    final double[] lots;

    private final double[] bend;

    Layout(SplittableRandom random) {
        cameraSpeed = random.nextDouble(5.5, 12);
        crossingSpacing = random.nextDouble(38, 75);
        double t = LANE / 2;
        lanes.add(new Lane(0, cameraSpeed, 32, Traffic.OWN));
        if (random.nextDouble() < 0.2) {
            dashed.add(t);
            lanes.add(new Lane(t + LANE / 2, cameraSpeed * random.nextDouble(0.7, 0.95), 26, Traffic.MOTOR));
            t += LANE;
        }
        if (random.nextDouble() < 0.55) {
            solid.add(t + 0.1);
            lanes.add(new Lane(t + 1.0, random.nextDouble(3.5, 5.5), 9.5, Traffic.BICYCLES));
            t += 1.9;
        }
        if (random.nextDouble() < 0.45) {
            lanes.add(new Lane(t + 1.15, 0, 7, Traffic.PARKED));
            t += 2.4;
        }
        edge[1] = t;

        t = -LANE / 2;
        tram = random.nextDouble() < 0.5;
        if (tram) {
            solid.add(t);
            tramTrack = t - LANE / 2;
            boolean towards = random.nextDouble() < 0.5;
            lanes.add(new Lane(tramTrack, towards ? -7 : cameraSpeed * 1.25, 85, Traffic.TRAMS));
            t -= LANE;
            dashed.add(t);
        } else {
            tramTrack = 0;
            dashed.add(t);
        }
        int oncoming = random.nextDouble() < 0.25 ? 2 : 1;
        for (int i = 0; i < oncoming; i++) {
            lanes.add(new Lane(t - LANE / 2, -random.nextDouble(7, 12), random.nextDouble(22, 34), Traffic.MOTOR));
            t -= LANE;
            if (i + 1 < oncoming) {
                dashed.add(t);
            }
        }
        if (random.nextDouble() < 0.4) {
            solid.add(t - 0.1);
            lanes.add(new Lane(t - 1.0, -random.nextDouble(3.5, 5.5), 9.5, Traffic.BICYCLES));
            t -= 1.9;
        }
        if (random.nextDouble() < 0.35) {
            lanes.add(new Lane(t - 1.15, -0.0, 7, Traffic.PARKED));
            t -= 2.4;
        }
        edge[0] = t;

        for (int side = 0; side < 2; side++) {
            verge[side] = random.nextDouble() < 0.5 ? random.nextDouble(1.2, 3) : 0;
            walk[side] = random.nextDouble(3, 5.5);
        }
        lots = switch (random.nextInt(3)) {
            case 0 -> new double[] {0.48, 0.2, 0.18, 0.04};
            case 1 -> new double[] {0.28, 0.25, 0.3, 0.05};
            default -> new double[] {0.14, 0.27, 0.32, 0.07};
        };
        double curve = random.nextDouble() < 0.25 ? 0 : 1;
        bend = new double[] {
            curve * random.nextDouble(3, 14), random.nextDouble(6.28), 1 / random.nextDouble(90, 130),
            curve * random.nextDouble(0, 3.5), random.nextDouble(6.28), 1 / random.nextDouble(35, 50)
        };
    }

    double bend(double s) {
        return bend[0] * Math.sin(s * bend[2] + bend[1]) + bend[3] * Math.sin(s * bend[5] + bend[4]);
    }

    double slope(double s) {
        return bend[0] * bend[2] * Math.cos(s * bend[2] + bend[1])
                + bend[3] * bend[5] * Math.cos(s * bend[5] + bend[4]);
    }

    Vec at(double s, double t, double y) {
        return new Vec(t + bend(s), y, s);
    }

    /** Returns the class of the ground at lateral place t. */
    Cityscapes ground(double t) {
        int side = t < 0 ? 0 : 1;
        double beyond = Math.abs(t) - Math.abs(edge[side]);
        if (beyond <= 0) {
            return Cityscapes.ROAD;
        }
        return beyond > verge[side] && beyond <= verge[side] + walk[side] ? Cityscapes.SIDEWALK : Cityscapes.TERRAIN;
    }

    /** Returns where the sidewalk ends and the lots begin, signed. */
    double lotLine(int side) {
        return edge[side] + (side == 0 ? -1 : 1) * (verge[side] + walk[side]);
    }
}
