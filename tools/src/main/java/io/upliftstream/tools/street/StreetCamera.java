package io.upliftstream.tools.street;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferInt;
import java.util.SplittableRandom;

/**
 * A camera on a car that drives through a procedural street, with exact labels and depth for every pixel.
 *
 * <p>A seed settles the street, its weather, time of day and colours; frame {@code i} is taken {@code i /
 * framesPerSecond} seconds after the start. Equal arguments give equal frames, in any order and from any thread.
 *
 * <p>Limits: flat ground, no lens distortion, shadows fall on the ground only, and nothing reacts to anything else.
 */
public final class StreetCamera {
    private static final byte[] GRAIN = grain();

    private final long seed;
    private final int width;
    private final int height;
    private final double framesPerSecond;
    private final Look look;
    private final Layout layout;
    private final Light light;
    private final double focal;
    private final double mountHeight;
    private final double pitch;
    private final double grainLevel;
    private final double vignette;

    /**
     * Creates a camera.
     *
     * @param seed which street
     * @param width of the image in pixels, at least 16
     * @param height of the image in pixels, at least 16
     * @param framesPerSecond of the street's own clock, positive
     */
    public StreetCamera(long seed, int width, int height, double framesPerSecond) {
        this(seed, width, height, framesPerSecond, Look.VARIED);
    }

    /** Creates a camera as above, in a look of its own. */
    public StreetCamera(long seed, int width, int height, double framesPerSecond, Look look) {
        if (width < 16 || height < 16) {
            throw new IllegalArgumentException(
                    "street camera size: " + width + "x" + height + " (expected: at least 16x16)");
        }
        if (!(framesPerSecond > 0)) {
            throw new IllegalArgumentException("frames per second: " + framesPerSecond + " (expected: > 0)");
        }
        this.seed = seed;
        this.look = look;
        this.width = width;
        this.height = height;
        this.framesPerSecond = framesPerSecond;
        layout = new Layout(Noise.random(seed, 1, 0));
        light = Light.draw(look, Noise.random(seed, 2, 0));
        SplittableRandom random = Noise.random(seed, 3, 0);
        focal = width * random.nextDouble(0.74, 0.92);
        mountHeight = random.nextDouble(1.35, 1.9);
        pitch = random.nextDouble(-0.06, 0.02);
        grainLevel = random.nextDouble(1, 3.5) * (light.night() ? 2 : 1);
        vignette = random.nextDouble(0, 0.3);
    }

    /**
     * Draws a frame.
     *
     * @param index number of the frame, not negative
     */
    public StreetFrame frame(int index) {
        if (index < 0) {
            throw new IllegalArgumentException("frame index: " + index + " (expected: >= 0)");
        }
        double time = index / framesPerSecond;
        double s = layout.cameraSpeed * time + 1000;
        double sway = 0.2 * Math.sin(0.5 * time);
        double nod = pitch + 0.004 * Math.sin(3.1 * time) * Math.sin(0.7 * time);
        Vec eye = layout.at(s, sway, mountHeight);
        var pose = new Pose(width, height, focal, eye, Math.atan(layout.slope(s)) + 0.01 * Math.sin(0.4 * time), nod);
        var raster = new Raster(pose, light.towardsSun(), look);
        var street = new Street(seed, layout, light, raster, time);
        street.draw();
        var shader = new Shader(pose, layout, light, street.crossings(), time, Noise.random(seed, 4, 0), look);

        var image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        byte[] labels = new byte[width * height];
        float[] depth = new float[width * height];
        int[] pixels = ((DataBufferInt) image.getRaster().getDataBuffer()).getData();
        develop(raster, shader, index, pixels, labels, depth);
        halos(raster, pixels);
        switch (light.falling()) {
            case RAIN -> rain(image, index);
            case SNOW -> snow(image, index);
            case NOTHING -> {}
        }
        return new StreetFrame(image, labels, depth);
    }

    private void develop(Raster raster, Shader shader, int index, int[] pixels, byte[] labels, float[] depth) {
        boolean[] dark = raster.shadowed();
        SplittableRandom random = Noise.random(seed, 5, index);
        var surfaces = raster.list.toArray(Raster.Surface[]::new);
        for (int y = 0; y < height; y++) {
            int grain = random.nextInt(GRAIN.length - 3 * width);
            double offY = y + 0.5 - height / 2.0;
            for (int x = 0; x < width; x++) {
                int i = y * width + x;
                double offX = x + 0.5 - width / 2.0;
                int sample = 2 * y * raster.columns + 2 * x;
                int below = sample + raster.columns;
                int one = raster.surfaces[sample];
                float red;
                float green;
                float blue;
                if (one == raster.surfaces[sample + 1]
                        && one == raster.surfaces[below]
                        && one == raster.surfaces[below + 1]) {
                    double z = depth(surfaces[one], raster.nearness[sample], offX, offY);
                    shader.shade(surfaces[one], offX, offY, z, dark[i]);
                    red = shader.red;
                    green = shader.green;
                    blue = shader.blue;
                    labels[i] = (byte) shader.label;
                    depth[i] = (float) z;
                } else {
                    // An edge: mix the surfaces' colours, and let the one with most samples name the pixel.
                    red = 0;
                    green = 0;
                    blue = 0;
                    int most = 0;
                    for (int k = 0; k < 4; k++) {
                        int at = sample + (k & 1) + (k >> 1) * raster.columns;
                        int seen = raster.surfaces[at];
                        int share = 0;
                        boolean again = false;
                        for (int j = 0; j < 4; j++) {
                            if (raster.surfaces[sample + (j & 1) + (j >> 1) * raster.columns] == seen) {
                                again |= j < k;
                                share++;
                            }
                        }
                        if (again) {
                            continue;
                        }
                        double z = depth(surfaces[seen], raster.nearness[at], offX, offY);
                        shader.shade(surfaces[seen], offX, offY, z, dark[i]);
                        red += shader.red * share / 4;
                        green += shader.green * share / 4;
                        blue += shader.blue * share / 4;
                        if (share > most || (share == most && z > 0 && (depth[i] == 0 || z < depth[i]))) {
                            most = share;
                            labels[i] = (byte) shader.label;
                            depth[i] = (float) z;
                        }
                    }
                }
                double rx = offX / width;
                double ry = offY / width;
                float lens = (float) (1 - vignette * (rx * rx + ry * ry) * 2);
                float g = (float) grainLevel / 32;
                int r = level(red * lens + GRAIN[grain++] * g);
                int gr = level(green * lens + GRAIN[grain++] * g);
                int b = level(blue * lens + GRAIN[grain++] * g);
                pixels[i] = r << 16 | gr << 8 | b;
            }
        }
    }

    /** The depth of a surface at a pixel's centre; at a sample of it where the plane leaves the pixel too steeply. */
    private static double depth(Raster.Surface surface, float sampled, double offX, double offY) {
        if (surface.ball || sampled == 0) {
            return sampled == 0 ? 0 : 1 / sampled;
        }
        double near = surface.a * offX + surface.b * offY + surface.c;
        return 1 / (near > 0.8 * sampled && near < 1.25 * sampled ? near : sampled);
    }

    /** Adds the light scattered around lamps; lamps behind something have none. */
    private void halos(Raster raster, int[] pixels) {
        for (var glow : raster.glows) {
            Vec seen = raster.pose.see(glow.at());
            if (seen.z() < 1) {
                continue;
            }
            double cx = seen.x() / seen.z() * focal + width / 2.0;
            double cy = seen.y() / seen.z() * focal + height / 2.0;
            if (cx < 0 || cy < 0 || cx >= width || cy >= height) {
                continue;
            }
            float near = raster.nearness[2 * (int) cy * raster.columns + 2 * (int) cx];
            if (near > 1.05 / seen.z()) {
                continue;
            }
            double r = Math.min(width * 0.15, glow.radius() * focal / seen.z());
            float level = (float) Math.exp(-seen.z() * light.haze()) * 0.8f;
            for (int y = (int) Math.max(0, cy - r); y < Math.min(height, cy + r); y++) {
                for (int x = (int) Math.max(0, cx - r); x < Math.min(width, cx + r); x++) {
                    double d = 1 - ((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (r * r);
                    if (d > 0) {
                        float k = (float) (d * d * d) * level;
                        int i = y * width + x;
                        int red = level((pixels[i] >> 16 & 255) + (glow.rgb() >> 16 & 255) * k);
                        int green = level((pixels[i] >> 8 & 255) + (glow.rgb() >> 8 & 255) * k);
                        int blue = level((pixels[i] & 255) + (glow.rgb() & 255) * k);
                        pixels[i] = red << 16 | green << 8 | blue;
                    }
                }
            }
        }
    }

    private void rain(BufferedImage image, int index) {
        SplittableRandom random = Noise.random(seed, 6, index);
        Graphics2D g = image.createGraphics();
        g.setColor(new Color(210, 215, 225, light.night() ? 36 : 60));
        g.setStroke(new BasicStroke(Math.max(1, width / 640f)));
        int drops = (int) (150 * light.wet());
        for (int i = 0; i < drops; i++) {
            int x = random.nextInt(width);
            int y = random.nextInt(height);
            int length = (int) (height * random.nextDouble(0.01, 0.04));
            g.drawLine(x, y, x - length / 5, y + length);
        }
        g.dispose();
    }

    private void snow(BufferedImage image, int index) {
        SplittableRandom random = Noise.random(seed, 6, index);
        Graphics2D g = image.createGraphics();
        g.setColor(new Color(250, 250, 252, 170));
        for (int i = 0; i < 220; i++) {
            int size = Math.max(1, (int) (height * random.nextDouble(0.003, 0.012)));
            g.fillOval(random.nextInt(width), random.nextInt(height), size, size);
        }
        g.dispose();
    }

    private static int level(float value) {
        return value < 0 ? 0 : value > 255 ? 255 : (int) value;
    }

    /** Gaussian sensor noise, standard deviation 32. */
    private static byte[] grain() {
        byte[] table = new byte[1 << 17];
        var random = new java.util.Random(7);
        for (int i = 0; i < table.length; i++) {
            table[i] = (byte) Math.max(-127, Math.min(127, Math.round(random.nextGaussian() * 32)));
        }
        return table;
    }
}
