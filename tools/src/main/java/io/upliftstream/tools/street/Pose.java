package io.upliftstream.tools.street;

/** A pinhole camera without roll; pixel (x, y) looks along ((x+0.5-width/2)/focal, (y+0.5-height/2)/focal, 1). */
final class Pose {
    final int width;
    final int height;
    final double focal;
    final Vec position;
    final Vec right;
    final Vec down;
    final Vec ahead;

    Pose(int width, int height, double focal, Vec position, double yaw, double pitchDown) {
        this.width = width;
        this.height = height;
        this.focal = focal;
        this.position = position;
        this.right = new Vec(Math.cos(yaw), 0, -Math.sin(yaw));
        this.ahead =
                new Vec(Math.sin(yaw) * Math.cos(pitchDown), -Math.sin(pitchDown), Math.cos(yaw) * Math.cos(pitchDown));
        this.down = ahead.cross(right).times(-1);
    }

    /** Turns a world direction into camera axes. */
    Vec turn(Vec direction) {
        return new Vec(direction.dot(right), direction.dot(down), direction.dot(ahead));
    }

    /** Moves a world point into camera axes. */
    Vec see(Vec point) {
        return turn(point.minus(position));
    }

    /** Turns a direction in camera axes back into the world's. */
    Vec toWorld(double x, double y, double z) {
        return right.times(x).plus(down, y).plus(ahead, z);
    }
}
