package io.upliftstream.tools.street;

import java.util.SplittableRandom;

/** Colours one surface point at a time; the result is in {@link #red}, {@link #green}, {@link #blue} and {@link #label}. */
final class Shader {
    private static final int BEND_STEPS_PER_METRE = 4;
    private static final double BEHIND = 30;
    private static final double REACH = 220;
    private static final double CROSSING_HALF_WIDTH = 1.7;

    float red;
    float green;
    float blue;
    int label;

    private final Layout layout;
    private final Light light;
    private final Pose pose;
    private final double perFocal;
    private final double time;
    private final Vec sun;
    private final float[] bend;
    private final double[] crossings;
    private final float[] clarity = new float[1024];
    private final int asphalt;
    private final int paving;
    private final int grass;
    private final int earth;
    private final double dryness;
    private final int paint;

    Shader(Pose pose, Layout layout, Light light, double[] crossings, double time, SplittableRandom random, Look look) {
        this.layout = layout;
        this.light = light;
        this.pose = pose;
        perFocal = 1 / pose.focal;
        this.crossings = crossings;
        this.time = time;
        sun = pose.turn(light.towardsSun());
        bend = new float[(int) ((BEHIND + REACH) * BEND_STEPS_PER_METRE) + 2];
        for (int i = 0; i < bend.length; i++) {
            bend[i] = (float) layout.bend(pose.position.z() - BEHIND + (double) i / BEND_STEPS_PER_METRE);
        }
        for (int i = 0; i < clarity.length; i++) {
            clarity[i] = (float) Math.exp(-i * 0.25 * light.haze());
        }
        int grey = random.nextInt(66, 104);
        asphalt = look.colour(Cityscapes.ROAD, rgb(grey + random.nextInt(-3, 4), grey, grey + random.nextInt(0, 7)));
        int stone = random.nextInt(138, 172);
        int slab =
                switch (random.nextInt(3)) {
                    case 0 -> rgb(stone + 14, stone, stone - 20);
                    case 1 -> rgb(stone + 22, stone - 8, stone - 18);
                    default -> rgb(stone + 4, stone + 2, stone - 4);
                };
        paving = look.colour(Cityscapes.SIDEWALK, slab);
        grass = look.colour(
                Cityscapes.TERRAIN, rgb(random.nextInt(96, 140), random.nextInt(140, 168), random.nextInt(54, 76)));
        earth = look.colour(
                Cityscapes.TERRAIN, rgb(random.nextInt(150, 180), random.nextInt(124, 144), random.nextInt(78, 98)));
        dryness = random.nextDouble(-0.8, 0.5);
        paint = random.nextDouble() < 0.2 ? 0xE8C050 : 0xE6E6E2;
    }

    static int rgb(int r, int g, int b) {
        return r << 16 | g << 8 | b;
    }

    /**
     * Colours the point of a surface at a pixel.
     *
     * @param x horizontal offset from the image's centre in pixels
     * @param y vertical offset, downwards
     * @param z depth in metres
     * @param shadowed whether the sun is hidden, as far as the ground is concerned
     */
    void shade(Raster.Surface surface, double x, double y, double z, boolean shadowed) {
        Material material = surface.material;
        label = material.label().trainId();
        if (material.texture() == Texture.SKY) {
            sky(x, y);
            return;
        }
        double px = x * perFocal * z;
        double py = y * perFocal * z;
        boolean emits = false;
        double sunshine = surface.facing;
        if (material.texture() == Texture.GROUND) {
            ground(px, py, z);
            sunshine = shadowed ? 0 : surface.facing;
        } else if (surface.ball) {
            double u = Math.max(-1, Math.min(1, (x + pose.width / 2.0 - surface.screenX) / surface.radiusX));
            double v = Math.max(-1, Math.min(1, (y + pose.height / 2.0 - surface.screenY) / surface.radiusY));
            double w = Math.sqrt(Math.max(0, 1 - u * u - v * v));
            sunshine = Math.max(0, u * sun.x() + v * sun.y() - w * sun.z());
            paint(material.rgb(), (float) (0.82 - 0.22 * v));
            if (material.texture() == Texture.LEAVES) {
                leaves(material, u * surface.c, v * surface.c, z);
            }
        } else {
            double dx = px - surface.origin.x();
            double dy = py - surface.origin.y();
            double dz = z - surface.origin.z();
            double u = dx * surface.u.x() + dy * surface.u.y() + dz * surface.u.z();
            double v = dx * surface.v.x() + dy * surface.v.y() + dz * surface.v.z();
            emits = texture(material, u, v, z);
        }
        if (!emits) {
            float beam = light.night() ? (float) (0.75 / (1 + z * z / 260)) : 0;
            red *= light.ambient().red() + light.sun().red() * (float) sunshine + beam;
            green *= light.ambient().green() + light.sun().green() * (float) sunshine + beam;
            blue *= light.ambient().blue() + light.sun().blue() * (float) sunshine + beam * 0.85f;
        }
        float kept = clarity[(int) Math.min(clarity.length - 1, z * 4)];
        red = light.horizon().red() + (red - light.horizon().red()) * kept;
        green = light.horizon().green() + (green - light.horizon().green()) * kept;
        blue = light.horizon().blue() + (blue - light.horizon().blue()) * kept;
    }

    private void paint(int rgb, float k) {
        red = (rgb >> 16 & 255) * k;
        green = (rgb >> 8 & 255) * k;
        blue = (rgb & 255) * k;
    }

    private void blend(int rgb, float share) {
        red += ((rgb >> 16 & 255) - red) * share;
        green += ((rgb >> 8 & 255) - green) * share;
        blue += ((rgb & 255) - blue) * share;
    }

    private void scale(float k) {
        red *= k;
        green *= k;
        blue *= k;
    }

    private void sky(double x, double y) {
        Vec d = pose.toWorld(x * perFocal, y * perFocal, 1);
        float up = (float) Math.max(0, Math.min(1, 1.6 * d.y() / d.z()));
        float k = up * (2 - up);
        red = light.horizon().red() + (light.zenith().red() - light.horizon().red()) * k;
        green = light.horizon().green()
                + (light.zenith().green() - light.horizon().green()) * k;
        blue = light.horizon().blue() + (light.zenith().blue() - light.horizon().blue()) * k;
        double far = 26 / (d.y() / d.z() + 0.12);
        double cloud = Noise.at(d.x() / d.z() * far + time * 0.4, far * 1.3) * 0.35
                + Noise.at(d.x() / d.z() * far * 0.4 + 90, far * 0.5) * 0.3
                - 0.25
                + light.clouds() * 0.6;
        float cover = (float) Math.max(0, Math.min(0.75, cloud * 1.4));
        float white = light.night()
                ? 34
                : 0.5f * (light.horizon().red() + 245 * light.ambient().red());
        float tint = light.clouds() >= 1 ? white * (0.9f + 0.12f * (float) cloud) : white * 1.05f;
        red += (tint - red) * cover * 0.7f;
        green += (tint - green) * cover * 0.7f;
        blue += (tint * 1.02f - blue) * cover * 0.7f;
    }

    private void ground(double px, double py, double z) {
        Vec p = pose.position;
        double wx = p.x() + px * pose.right.x() + py * pose.down.x() + z * pose.ahead.x();
        double s = p.z() + px * pose.right.z() + py * pose.down.z() + z * pose.ahead.z();
        double along = Math.max(0, Math.min(bend.length - 2, (s - p.z() + BEHIND) * BEND_STEPS_PER_METRE));
        int i = (int) along;
        double t = wx - (bend[i] + (bend[i + 1] - bend[i]) * (along - i));
        Cityscapes kind = layout.ground(t);
        label = kind.trainId();
        float fine = Noise.at(t * 40, s * 40) * (float) Math.min(1, 9 / z);
        float coarse = Noise.at(t * 5, s * 3);
        switch (kind) {
            case ROAD -> road(s, t, z, fine, coarse);
            case SIDEWALK -> {
                int side = t < 0 ? 0 : 1;
                double beyond = Math.abs(t) - Math.abs(layout.edge[side]);
                paint(paving, 1 + 0.05f * fine + 0.05f * coarse);
                double pixel = z * perFocal;
                double joint = Math.min(fraction(t / 0.8), fraction(s / 0.8) + pixel * 4);
                if (joint < 0.07) {
                    scale(1 - 0.25f * (float) Math.min(1, 8 / z));
                }
                if (beyond < 0.22) {
                    paint(0xC8C6C0, 1 + 0.05f * fine);
                }
            }
            default -> {
                float dry = (float) Math.max(0, Math.min(1, coarse * 1.6 + dryness));
                paint(grass, 0.95f + 0.2f * fine + 0.08f * coarse);
                blend(earth, dry);
            }
        }
        if (light.wet() > 0 && kind != Cityscapes.TERRAIN) {
            double grazing = z / (z + 14);
            float shine =
                    (float) (light.wet() * (0.12 + 0.45 * grazing) * Math.max(0.3, Math.min(1, 0.65 + coarse * 0.5)));
            scale(1 - 0.3f * (float) light.wet());
            float level = 1 / Math.max(0.25f, light.ambient().green());
            red += (light.horizon().red() * level - red) * shine;
            green += (light.horizon().green() * level - green) * shine;
            blue += (light.horizon().blue() * level - blue) * shine;
        }
    }

    private void road(double s, double t, double z, float fine, float coarse) {
        double wheel = Math.abs(Math.abs(fraction(t / Layout.LANE + 0.5) - 0.5) * Layout.LANE - 0.8);
        paint(asphalt, 1 + 0.13f * fine + 0.06f * coarse + (wheel < 0.3 ? -0.05f : 0.02f));
        double pixel = z * perFocal;
        if (layout.tram) {
            double off = Math.abs(t - layout.tramTrack);
            if (off < 1.25) {
                blend(0x8A7F76, 0.55f);
            }
            blend(0x3A3C40, line(Math.abs(off - 0.72), 0.06, pixel));
        }
        float mark = 0;
        for (double line : layout.solid) {
            mark = Math.max(mark, line(Math.abs(t - line), 0.08, pixel));
        }
        double dash = fraction(s / 7.5) * 7.5;
        if (dash < 3.5) {
            for (double line : layout.dashed) {
                mark = Math.max(mark, line(Math.abs(t - line), 0.08, pixel));
            }
        }
        for (double crossing : crossings) {
            if (Math.abs(s - crossing) < CROSSING_HALF_WIDTH) {
                double band = Math.abs(fraction(t) - 0.5);
                mark = Math.max(mark, line(band, 0.25, pixel));
            } else if (t > -Layout.LANE / 2 && Math.abs(s - crossing + 3.2) < 0.25 && t < layout.edge[1]) {
                mark = 1;
            }
        }
        if (mark > 0) {
            blend(paint, mark * (0.85f + 0.15f * coarse));
        }
    }

    private static float line(double off, double half, double pixel) {
        return (float) Math.max(0, Math.min(1, (half - off) / pixel + 0.5));
    }

    private static double fraction(double x) {
        return x - Math.floor(x);
    }

    private void leaves(Material m, double u, double v, double z) {
        float n = Noise.at(u * 22 + m.salt() * 31, v * 22 + m.salt() * 7);
        float coarse = Noise.at(u * 7 + m.salt() * 13, v * 7);
        scale(1 + 0.32f * n * (float) Math.min(1, 22 / z) + 0.2f * coarse);
    }

    /** Paints a plane's texture at (u, v) metres; returns whether the point shines by itself. */
    private boolean texture(Material m, double u, double v, double z) {
        switch (m.texture()) {
            case FACADE -> {
                return facade(m, u, v, z);
            }
            case ROOF -> paint(m.rgb(), fraction(v / 0.45) < 0.25 && z < 50 ? 0.82f : 1.0f);
            case BRICKS -> {
                double row = Math.floor(v / (m.scale() * 0.5));
                double rise = fraction(v / (m.scale() * 0.5));
                double run = fraction(u / m.scale() + row * 0.5);
                float tone = 0.9f
                        + 0.2f * (float) Noise.hash(m.salt(), (long) row, (long) Math.floor(u / m.scale() + row * 0.5));
                paint(m.rgb(), tone + 0.06f * Noise.at(u * 30, v * 30));
                if (rise < 0.14 || run < 0.07) {
                    blend(m.trim(), (float) Math.min(0.8, 16 / z));
                }
            }
            case SLATS -> {
                double slat = fraction(u / m.scale());
                paint(m.rgb(), 0.85f + 0.2f * (float) Noise.hash(m.salt(), (long) Math.floor(u / m.scale()), 3));
                boolean rail = Math.abs(v - 0.3) < 0.07 || Math.abs(v - 1.15) < 0.07;
                if (slat > 0.6 && !rail) {
                    blend(m.trim(), 0.85f);
                }
            }
            case LEAVES -> {
                paint(m.rgb(), 0.9f);
                leaves(m, u, v, z);
            }
            case ROUND -> paint(m.rgb(), 0.65f + 0.5f * (float) Math.sin(Math.PI * Math.min(1, u / m.scale())));
            case GLASS -> {
                paint(0x28303A, 1);
                if (!light.night()) {
                    blend(0xA8B8C8, 0.15f + 0.25f * (float) Math.min(1, Math.max(0, v / m.scale())));
                }
            }
            case SIDE_WINDOWS -> {
                paint(m.rgb(), 1);
                if (v > 1.05 && v < 2.15) {
                    boolean pillar = fraction(u / m.scale()) < 0.1;
                    paint(pillar ? 0x181818 : light.night() ? 0xE8D8A0 : 0x303A46, 1);
                    if (!pillar && !light.night()) {
                        blend(0x9AAABA, 0.3f * (float) fraction(u / m.scale()));
                    }
                    return light.night() && !pillar;
                } else if (v < 0.62) {
                    paint(m.trim(), 1);
                }
            }
            case CARGO -> {
                paint(m.rgb(), fraction(u / 0.6) < 0.08 ? 0.85f : 1);
                if (v > m.scale() * 0.45 && v < m.scale() * 0.62) {
                    blend(m.trim(), 0.8f);
                }
            }
            case RADIAL -> {
                double r = Math.max(Math.abs(u) * 0.3 + Math.hypot(u, v) * 0.7, 0);
                paint(r < m.scale() ? m.rgb() : m.trim(), 1);
                if (m.salt() == 1 && Math.abs(v) < m.scale() * 0.22 && Math.abs(u) < m.scale() * 0.75) {
                    paint(m.trim(), 1);
                } else if (m.salt() == 2 && Math.abs(u) < m.scale() * 0.2 && Math.abs(v) < m.scale() * 0.6) {
                    paint(0x202020, 1);
                }
            }
            case SPOKES -> {
                double r = Math.hypot(u, v);
                if (r > 0.78 * m.scale()) {
                    paint(m.rgb(), 1);
                } else {
                    paint(m.trim(), Math.sin(Math.atan2(v, u) * 9) > 0 ? 1 : 0.72f);
                }
            }
            case LIT -> {
                paint(m.rgb(), 1);
                return true;
            }
            default -> paint(m.rgb(), 1);
        }
        return false;
    }

    private boolean facade(Material m, double u, double v, double z) {
        double floor = 3.1;
        long row = (long) Math.floor(v / floor);
        boolean shop = row == 0 && (m.salt() & 1) == 0;
        double spacing = shop ? 3.6 : m.scale();
        long column = (long) Math.floor(u / spacing);
        double fu = fraction(u / spacing);
        double fv = fraction(v / floor);
        double chance = Noise.hash(m.salt(), column, row);
        double wide = (m.salt() & 6) == 0 ? 0.42 : 0.26;
        double low = shop ? 0.12 : 0.3;
        boolean door = row == 0 && (column + m.salt()) % 4 == 0;
        if (door) {
            wide = 0.6 / spacing;
            low = 0;
        } else if (shop) {
            wide = 0.44;
        }
        double du = wide - Math.abs(fu - 0.5);
        double dv = Math.min(fv - low, 0.82 - fv);
        float n = Noise.at(u * 12, v * 12) * (float) Math.min(1, 14 / z);
        paint(m.rgb(), 1 + 0.05f * n + 0.05f * Noise.at(u * 2 + m.salt(), v * 2));
        if (du > 0 && dv > 0) {
            if (door) {
                paint(m.trim(), du * spacing < 0.1 ? 1.3f : 0.6f);
                return false;
            }
            boolean frame = du * spacing < 0.09 || dv * floor < 0.09 || (!shop && Math.abs(fu - 0.5) * spacing < 0.04);
            if (frame) {
                paint(m.trim(), 1);
            } else if (light.night() && chance < (shop ? 0.7 : 0.3)) {
                paint(chance < 0.15 ? 0xFFE9B0 : 0xE0B468, shop ? 0.85f : 0.7f);
                return true;
            } else {
                paint(0x35404C, 1 + (float) chance * 0.3f);
                if (!light.night()) {
                    blend(0xB4C4D4, (float) (0.1 + 0.4 * chance * (1 - fv)));
                }
            }
        } else if (row == 0 && (m.salt() & 8) == 0) {
            scale(0.82f);
        } else if (fv < 0.07) {
            blend(m.trim(), 0.5f);
        }
        return false;
    }
}
