package io.upliftstream.tools.street;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A z-buffer of surface numbers with four samples per pixel. Every surface is either a plane, whose inverse depth is
 * linear on the screen and therefore exact, or a ball.
 */
final class Raster {
    static final int SKY = 0;
    static final int GROUND = 1;
    private static final double NEAR = 0.3;
    private static final int SIDE = 2;

    final Pose pose;
    final int columns;
    final int rows;
    /** Per sample, row-major with {@link #columns} × {@link #rows}: the surface seen there. */
    final int[] surfaces;
    /** Per sample: 1 / depth; 0 is the sky. */
    final float[] nearness;

    final List<Surface> list = new ArrayList<>();
    final List<Vec[]> shadows = new ArrayList<>();
    final List<Glow> glows = new ArrayList<>();

    /** A light's halo: where, how wide in metres, and 0xRRGGBB. */
    record Glow(Vec at, double radius, int rgb) {}

    /** Geometry of one surface in camera axes. Inverse depth at pixel offset (x, y) from the centre: ax + by + c. */
    static final class Surface {
        final Material material;
        final boolean ball;
        double a;
        double b;
        double c;
        Vec origin = new Vec(0, 0, 1);
        Vec u = new Vec(1, 0, 0);
        Vec v = new Vec(0, -1, 0);
        /** Cosine between the normal and the sun, or for a ball unused. */
        double facing;
        /** A ball's centre and radii on the screen in pixels. */
        double screenX;

        double screenY;
        double radiusX;
        double radiusY;

        Surface(Material material, boolean ball) {
            this.material = material;
            this.ball = ball;
        }
    }

    private final Vec sun;
    private final Look look;

    Raster(Pose pose, Vec sun, Look look) {
        this.pose = pose;
        this.look = look;
        this.sun = sun;
        columns = pose.width * SIDE;
        rows = pose.height * SIDE;
        surfaces = new int[columns * rows];
        nearness = new float[columns * rows];
        list.add(new Surface(Material.of(Cityscapes.SKY, Texture.SKY, 0), false));
        var ground = new Surface(Material.of(Cityscapes.TERRAIN, Texture.GROUND, 0), false);
        Vec down = pose.turn(new Vec(0, -1, 0));
        double height = pose.position.y();
        ground.b = down.y() / pose.focal / height;
        ground.c = down.z() / height;
        ground.facing = sun.y();
        list.add(ground);
        for (int row = 0; row < rows; row++) {
            float near = (float) (ground.b * offsetY(row) + ground.c);
            if (near > 1e-4f) {
                Arrays.fill(surfaces, row * columns, (row + 1) * columns, GROUND);
                Arrays.fill(nearness, row * columns, (row + 1) * columns, near);
            }
        }
    }

    private double offsetX(int column) {
        return (column + 0.5) / SIDE - pose.width / 2.0;
    }

    private double offsetY(int row) {
        return (row + 0.5) / SIDE - pose.height / 2.0;
    }

    /** Draws a convex polygon; its texture starts at the first corner, u towards the second, v towards the last. */
    void polygon(Material material, Vec... corners) {
        Vec origin = pose.see(corners[0]);
        Vec u = pose.see(corners[1]).minus(origin).unit();
        Vec last = pose.see(corners[corners.length - 1]).minus(origin);
        Vec v = last.minus(u.times(last.dot(u))).unit();
        fill(material, origin, u, v, corners);
    }

    /** Draws a regular polygon around {@code centre}, which is also where its texture starts. */
    void disc(Material material, Vec centre, Vec right, Vec up, double radius, int sides, double turn) {
        Vec[] corners = new Vec[sides];
        for (int i = 0; i < sides; i++) {
            double angle = turn + 2 * Math.PI * i / sides;
            corners[i] = centre.plus(right, radius * Math.cos(angle)).plus(up, radius * Math.sin(angle));
        }
        fill(material, pose.see(centre), pose.turn(right), pose.turn(up), corners);
    }

    private void fill(Material material, Vec origin, Vec u, Vec v, Vec[] corners) {
        Vec[] seen = new Vec[corners.length];
        boolean any = false;
        for (int i = 0; i < corners.length; i++) {
            seen[i] = pose.see(corners[i]);
            any |= seen[i].z() > NEAR;
        }
        Vec normal = u.cross(v);
        double plane = normal.dot(origin);
        if (!any || Math.abs(plane) < 1e-6) {
            return;
        }
        var surface = new Surface(look.of(material), false);
        surface.a = normal.x() / plane / pose.focal;
        surface.b = normal.y() / plane / pose.focal;
        surface.c = normal.z() / plane;
        surface.origin = origin;
        surface.u = u;
        surface.v = v;
        surface.facing = Math.max(0, (plane > 0 ? -1 : 1) * normal.dot(pose.turn(sun)));
        int number = list.size();
        if (scan(clip(seen), number, surface)) {
            list.add(surface);
        }
    }

    private static Vec[] clip(Vec[] corners) {
        boolean whole = true;
        for (Vec corner : corners) {
            whole &= corner.z() >= NEAR;
        }
        if (whole) {
            return corners;
        }
        List<Vec> kept = new ArrayList<>();
        for (int i = 0; i < corners.length; i++) {
            Vec p = corners[i];
            Vec q = corners[(i + 1) % corners.length];
            if (p.z() >= NEAR) {
                kept.add(p);
            }
            if (p.z() >= NEAR != q.z() >= NEAR) {
                kept.add(p.plus(q.minus(p), (NEAR - p.z()) / (q.z() - p.z())));
            }
        }
        return kept.toArray(Vec[]::new);
    }

    private boolean scan(Vec[] corners, int number, Surface surface) {
        int n = corners.length;
        double[] xs = new double[n];
        double[] ys = new double[n];
        project(corners, xs, ys);
        int top = rows;
        int bottom = -1;
        for (double y : ys) {
            top = Math.min(top, (int) Math.max(0, Math.ceil(y - 0.5)));
            bottom = Math.max(bottom, (int) Math.min(rows - 1, Math.ceil(y - 0.5) - 1));
        }
        float step = (float) (surface.a / SIDE);
        boolean drawn = false;
        for (int row = top; row <= bottom; row++) {
            double left = Double.MAX_VALUE;
            double right = -Double.MAX_VALUE;
            double y = row + 0.5;
            for (int i = 0, j = n - 1; i < n; j = i++) {
                if (ys[i] > y != ys[j] > y) {
                    double x = xs[i] + (y - ys[i]) * (xs[j] - xs[i]) / (ys[j] - ys[i]);
                    left = Math.min(left, x);
                    right = Math.max(right, x);
                }
            }
            int from = (int) Math.max(0, Math.ceil(left - 0.5));
            int to = (int) Math.min(columns, Math.ceil(right - 0.5));
            float near = (float) (surface.a * offsetX(from) + surface.b * offsetY(row) + surface.c);
            for (int i = row * columns + from, end = row * columns + to; i < end; i++, near += step) {
                if (near > nearness[i]) {
                    nearness[i] = near;
                    surfaces[i] = number;
                    drawn = true;
                }
            }
        }
        return drawn;
    }

    private void project(Vec[] corners, double[] xs, double[] ys) {
        for (int i = 0; i < corners.length; i++) {
            xs[i] = (corners[i].x() / corners[i].z() * pose.focal + pose.width / 2.0) * SIDE;
            ys[i] = (corners[i].y() / corners[i].z() * pose.focal + pose.height / 2.0) * SIDE;
        }
    }

    /** Draws an upright ellipsoid of revolution; leaves get a ragged edge. */
    void ball(Material material, Vec centre, double radius, double halfHeight) {
        Vec seen = pose.see(centre);
        if (seen.z() < NEAR + radius) {
            return;
        }
        double scale = pose.focal / seen.z();
        var surface = new Surface(look.of(material), true);
        surface.origin = seen;
        surface.screenX = seen.x() * scale + pose.width / 2.0;
        surface.screenY = seen.y() * scale + pose.height / 2.0;
        surface.radiusX = radius * scale;
        surface.radiusY = halfHeight * scale;
        surface.c = radius;
        boolean ragged = material.texture() == Texture.LEAVES;
        int number = list.size();
        boolean drawn = false;
        int top = (int) Math.max(0, Math.ceil((surface.screenY - surface.radiusY) * SIDE));
        int bottom = (int) Math.min(rows, Math.ceil((surface.screenY + surface.radiusY) * SIDE));
        float nearest = (float) (1 / (seen.z() - radius));
        for (int row = top; row < bottom; row++) {
            double v = ((row + 0.5) / SIDE - surface.screenY) / surface.radiusY;
            double half = Math.sqrt(Math.max(0, 1 - v * v)) * surface.radiusX;
            int from = (int) Math.max(0, Math.ceil((surface.screenX - half) * SIDE));
            int to = (int) Math.min(columns, Math.ceil((surface.screenX + half) * SIDE));
            for (int column = from; column < to; column++) {
                int i = row * columns + column;
                if (nearest <= nearness[i]) {
                    continue;
                }
                double u = ((column + 0.5) / SIDE - surface.screenX) / surface.radiusX;
                double rim = u * u + v * v;
                if (rim > 1
                        || (ragged
                                && rim > 0.6
                                && Noise.at(u * radius * 14 + material.salt() * 17, v * radius * 14)
                                        < (rim - 0.8) * 2)) {
                    continue;
                }
                float near = (float) (1 / (seen.z() - radius * Math.sqrt(1 - rim)));
                if (near > nearness[i]) {
                    nearness[i] = near;
                    surfaces[i] = number;
                    drawn = true;
                }
            }
        }
        if (drawn) {
            list.add(surface);
        }
    }

    /** Darkens the ground within a convex polygon that lies on it. */
    void shadow(Vec... corners) {
        shadows.add(corners);
    }

    /** Marks the pixels whose ground lies in a shadow. */
    boolean[] shadowed() {
        boolean[] dark = new boolean[pose.width * pose.height];
        for (Vec[] corners : shadows) {
            Vec[] seen = new Vec[corners.length];
            for (int i = 0; i < seen.length; i++) {
                seen[i] = pose.see(corners[i]);
            }
            seen = clip(seen);
            int n = seen.length;
            double[] xs = new double[n];
            double[] ys = new double[n];
            project(seen, xs, ys);
            double top = Double.MAX_VALUE;
            double bottom = -1;
            for (double y : ys) {
                top = Math.min(top, y / SIDE);
                bottom = Math.max(bottom, y / SIDE);
            }
            for (int row = (int) Math.max(0, top); row < Math.min(pose.height, bottom); row++) {
                double left = Double.MAX_VALUE;
                double right = -Double.MAX_VALUE;
                double y = (row + 0.5) * SIDE;
                for (int i = 0, j = n - 1; i < n; j = i++) {
                    if (ys[i] > y != ys[j] > y) {
                        double x = xs[i] + (y - ys[i]) * (xs[j] - xs[i]) / (ys[j] - ys[i]);
                        left = Math.min(left, x);
                        right = Math.max(right, x);
                    }
                }
                int from = (int) Math.max(0, Math.ceil(left / SIDE - 0.5));
                int to = (int) Math.min(pose.width, Math.ceil(right / SIDE - 0.5));
                if (from < to) {
                    Arrays.fill(dark, row * pose.width + from, row * pose.width + to, true);
                }
            }
        }
        return dark;
    }

    void glow(Vec at, double radius, int rgb) {
        glows.add(new Glow(at, radius, rgb));
    }
}
