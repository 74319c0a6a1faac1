package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Draws what the things of a street are made of: boxes, prisms, limbs and lamps, and the shadows that they cast. */
final class Solids {
    static final Vec UP = new Vec(0, 1, 0);

    final Raster raster;
    final Light light;
    /** Along the image's rows, level: what faces the camera lies along it. */
    final Vec across;

    Solids(Raster raster, Light light) {
        this.raster = raster;
        this.light = light;
        Vec right = raster.pose.right;
        across = new Vec(right.x(), 0, right.z()).unit();
    }

    static int pick(int[] colours, SplittableRandom random) {
        int c = colours[random.nextInt(colours.length)];
        int k = random.nextInt(-14, 15);
        return Shader.rgb(level((c >> 16 & 255) + k), level((c >> 8 & 255) + k), level((c & 255) + k));
    }

    static int level(int value) {
        return Math.max(0, Math.min(255, value));
    }

    static Material plain(Cityscapes label, int rgb) {
        return Material.of(label, Texture.PLAIN, rgb);
    }

    /** Extrudes a convex side profile of (along, up) pairs between two lateral places; strips[i] covers edge i. */
    void prism(Place place, double[] profile, double left, double right, Material side, Material... strips) {
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

    void box(Place p, double from, double to, double left, double right, double low, double high, Material m) {
        prism(p, new double[] {from, low, to, low, to, high, from, high}, left, right, m, m);
    }

    /** A rectangle that stands upright and faces the camera. */
    void upright(Material m, Vec base, double halfWidth, double height) {
        raster.polygon(
                m,
                base.plus(across, -halfWidth),
                base.plus(across, halfWidth),
                base.plus(across, halfWidth).plus(UP, height),
                base.plus(across, -halfWidth).plus(UP, height));
    }

    /** A thick line that faces the camera. */
    void limb(Material m, Vec from, Vec to, double halfWidth) {
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

    void boxShadow(Place p, double half, double wide, double height) {
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

    void spot(Vec centre, double radius) {
        Vec[] corners = new Vec[10];
        for (int i = 0; i < corners.length; i++) {
            double angle = i * Math.PI * 2 / corners.length;
            corners[i] = new Vec(centre.x() + radius * Math.cos(angle), 0, centre.z() + radius * Math.sin(angle));
        }
        raster.shadow(corners);
    }

    void lamp(Cityscapes label, Vec centre, double halfWidth, double height, int rgb, double glow) {
        upright(Material.of(label, Texture.LIT, rgb), centre.plus(UP, -height / 2), halfWidth, height);
        if (glow > 0) {
            raster.glow(centre, glow, rgb);
        }
    }
}
